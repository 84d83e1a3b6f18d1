/*
 * nvdsinfer.h: the structures that a parse function takes and fills, laid out as in DeepStream 6 and 7.
 *
 * Valid in C and C++. Coordinates are pixels of the network's input picture, origin at its top left corner.
 */
#ifndef MILLRACE_NVDSINFER_H
#define MILLRACE_NVDSINFER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most dimensions a layer can have. */
#define NVDSINFER_MAX_DIMS 8

#if defined(__GNUC__) || defined(__clang__)
#define _DS_DEPRECATED_(text) __attribute__((deprecated(text)))
#else
#define _DS_DEPRECATED_(text)
#endif

/* Shape of a layer without the batch dimension. */
typedef struct NvDsInferDims {
    unsigned int numDims;                /* dimensions in use */
    unsigned int d[NVDSINFER_MAX_DIMS];  /* their sizes, zero after the last */
    unsigned int numElements;            /* product of the sizes */
} NvDsInferDims;

/* Shape of a layer of three dimensions. */
typedef struct NvDsInferDimsCHW {
    unsigned int c;
    unsigned int h;
    unsigned int w;
} NvDsInferDimsCHW;

/* Element type of a layer. */
typedef enum NvDsInferDataType {
    FLOAT = 0,
    HALF = 1,
    INT8 = 2,
    INT32 = 3,
    INT64 = 4,
    UINT8 = 5
} NvDsInferDataType;

/* One layer of one picture. */
typedef struct NvDsInferLayerInfo {
    NvDsInferDataType dataType;
    union {
        NvDsInferDims inferDims;
        NvDsInferDims dims _DS_DEPRECATED_("use inferDims");
    };
    int bindingIndex;       /* place among the model's inputs and outputs */
    const char *layerName;  /* valid during the call */
    void *buffer;           /* numElements values, row after row; valid during the call, not to be written */
    int isInput;            /* 0 for outputs */
} NvDsInferLayerInfo;

/* Size of the network's input picture. */
typedef struct NvDsInferNetworkInfo {
    unsigned int width;
    unsigned int height;
    unsigned int channels;
} NvDsInferNetworkInfo;

/* One object of a detector. */
typedef struct NvDsInferObjectDetectionInfo {
    unsigned int classId;
    float left;
    float top;
    float width;
    float height;
    float detectionConfidence;  /* 0 to 1 */
} NvDsInferObjectDetectionInfo;

/* The name of DeepStream 4. */
typedef NvDsInferObjectDetectionInfo NvDsInferParseObjectInfo;

/* One object with a mask; the mask is allocated with new float[] and taken over by the caller. */
typedef struct NvDsInferInstanceMaskInfo {
    unsigned int classId;
    float left;
    float top;
    float width;
    float height;
    float detectionConfidence;  /* 0 to 1 */
    float *mask;                /* mask_height rows of mask_width values, stretched over the object's box */
    unsigned int mask_width;
    unsigned int mask_height;
    unsigned int mask_size;     /* bytes */
} NvDsInferInstanceMaskInfo;

/* One label of a classifier. */
typedef struct NvDsInferAttribute {
    unsigned int attributeIndex;  /* number of the output layer (the task) */
    unsigned int attributeValue;  /* number of the class in it */
    float attributeConfidence;    /* 0 to 1 */
    char *attributeLabel;         /* from strdup or malloc, taken over by the caller; NULL for the label file's */
} NvDsInferAttribute;

/* What a function of the inference library says about its call. */
typedef enum NvDsInferStatus {
    NVDSINFER_SUCCESS = 0,
    NVDSINFER_CONFIG_FAILED,
    NVDSINFER_CUSTOM_LIB_FAILED,
    NVDSINFER_INVALID_PARAMS,
    NVDSINFER_OUTPUT_PARSING_FAILED,
    NVDSINFER_CUDA_ERROR,
    NVDSINFER_TENSORRT_ERROR,
    NVDSINFER_RESOURCE_ERROR,
    NVDSINFER_TRITON_ERROR,
    NVDSINFER_TRTIS_ERROR = NVDSINFER_TRITON_ERROR,
    NVDSINFER_UNKNOWN_ERROR
} NvDsInferStatus;

typedef enum NvDsInferLogLevel {
    NVDSINFER_LOG_ERROR = 0,
    NVDSINFER_LOG_WARNING,
    NVDSINFER_LOG_INFO,
    NVDSINFER_LOG_DEBUG
} NvDsInferLogLevel;

/* First three dimensions of an NvDsInferDims as channels, rows, columns. */
#define getDimsCHWFromDims(chw, from) \
    do {                              \
        (chw).c = (from).d[0];        \
        (chw).h = (from).d[1];        \
        (chw).w = (from).d[2];        \
    } while (0)

/* The same where the channels come last. */
#define getDimsHWCFromDims(chw, from) \
    do {                              \
        (chw).h = (from).d[0];        \
        (chw).w = (from).d[1];        \
        (chw).c = (from).d[2];        \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
