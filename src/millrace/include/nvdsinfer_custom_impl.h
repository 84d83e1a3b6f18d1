/*
 * nvdsinfer_custom_impl.h: the functions that a library named by custom-lib-path may have.
 *
 *   g++ -shared -fPIC -O2 parser.cpp -o libparser.so \
 *       -I"$(python3 -c 'from millrace.infer.custom import include_dir; print(include_dir())')"
 *
 * A parse function has C linkage and returns false when it cannot read the layers. Exceptions must not leave it. Put
 * the check macro of its kind behind its definition, and a wrong prototype does not compile.
 */
#ifndef MILLRACE_NVDSINFER_CUSTOM_IMPL_H
#define MILLRACE_NVDSINFER_CUSTOM_IMPL_H

#ifndef __cplusplus
#error "nvdsinfer_custom_impl.h is for C++"
#endif

#include <string>
#include <type_traits>
#include <vector>

#include <NvInfer.h>
#include "nvdsinfer.h"

/* Builds a network in code. Declared for sources that have one beside their parse function; never called. */
class IModelParser
{
public:
    IModelParser() = default;
    IModelParser(const IModelParser &) = delete;
    IModelParser &operator=(const IModelParser &) = delete;
    virtual ~IModelParser() = default;
    virtual NvDsInferStatus parseModel(nvinfer1::INetworkDefinition &network) = 0;
    virtual bool hasFullDimsSupported() const = 0;
    virtual const char *getModelName() const = 0;
};

extern "C" {

/* Settings of a detector; vectors have a value for each class. */
struct NvDsInferParseDetectionParams {
    /* num-detected-classes: objects of other classes are dropped. */
    unsigned int numClassesConfigured;
    /* pre-cluster-threshold: least confidence of an object. */
    std::vector<float> perClassPreclusterThreshold;
    /* post-cluster-threshold: least confidence after clustering, which the caller does. */
    std::vector<float> perClassPostclusterThreshold;
    /* The first vector by its old name. */
    std::vector<float> &perClassThreshold = perClassPreclusterThreshold;
};

/* parse-bbox-func-name, network-type 0: appends the objects found. */
typedef bool (*NvDsInferParseCustomFunc)(
    std::vector<NvDsInferLayerInfo> const &outputLayersInfo, NvDsInferNetworkInfo const &networkInfo,
    NvDsInferParseDetectionParams const &detectionParams, std::vector<NvDsInferObjectDetectionInfo> &objectList);

/* parse-bbox-instance-mask-func-name, network-type 3: appends the objects found, with their masks. */
typedef bool (*NvDsInferInstanceMaskParseCustomFunc)(
    std::vector<NvDsInferLayerInfo> const &outputLayersInfo, NvDsInferNetworkInfo const &networkInfo,
    NvDsInferParseDetectionParams const &detectionParams, std::vector<NvDsInferInstanceMaskInfo> &objectList);

/* parse-classifier-func-name, network-type 1: appends labels, and may describe the object in one string. */
typedef bool (*NvDsInferClassiferParseCustomFunc)(
    std::vector<NvDsInferLayerInfo> const &outputLayersInfo, NvDsInferNetworkInfo const &networkInfo,
    float classifierThreshold, std::vector<NvDsInferAttribute> &attrList, std::string &descString);

/*
 * parse-segmentation-func-name, network-type 2: writes the class of each pixel, networkInfo.height rows of
 * networkInfo.width, -1 for none. classProbabilityMap may be set to the buffer of the layer with (classes, height,
 * width) probabilities, or to nullptr.
 */
typedef bool (*NvDsInferSemSegmentationParseCustomFunc)(
    std::vector<NvDsInferLayerInfo> const &outputLayersInfo, NvDsInferNetworkInfo const &networkInfo,
    float segmentationThreshold, unsigned int numClasses, int *classificationMap, float *&classProbabilityMap);

/* Fills inputs other than the picture. Declared for sources that define it; never called. */
bool NvDsInferInitializeInputLayers(
    std::vector<NvDsInferLayerInfo> const &inputLayersInfo, NvDsInferNetworkInfo const &networkInfo,
    unsigned int maxBatchSize);

}  /* extern "C" */

/* Declaring the function again with C linkage fails where it was defined without. */
#define CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(function)                                                     \
    extern "C" bool function(                                                                           \
        std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &,                          \
        NvDsInferParseDetectionParams const &, std::vector<NvDsInferObjectDetectionInfo> &);            \
    static_assert(std::is_convertible<decltype(&function), NvDsInferParseCustomFunc>::value,            \
                  #function " is no NvDsInferParseCustomFunc")

#define CHECK_CUSTOM_INSTANCE_MASK_PARSE_FUNC_PROTOTYPE(function)                                       \
    extern "C" bool function(                                                                           \
        std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &,                          \
        NvDsInferParseDetectionParams const &, std::vector<NvDsInferInstanceMaskInfo> &);               \
    static_assert(std::is_convertible<decltype(&function), NvDsInferInstanceMaskParseCustomFunc>::value,\
                  #function " is no NvDsInferInstanceMaskParseCustomFunc")

#define CHECK_CUSTOM_CLASSIFIER_PARSE_FUNC_PROTOTYPE(function)                                          \
    extern "C" bool function(                                                                           \
        std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &,                          \
        float, std::vector<NvDsInferAttribute> &, std::string &);                                       \
    static_assert(std::is_convertible<decltype(&function), NvDsInferClassiferParseCustomFunc>::value,   \
                  #function " is no NvDsInferClassiferParseCustomFunc")

#define CHECK_CUSTOM_SEM_SEGMENTATION_PARSE_FUNC_PROTOTYPE(function)                                    \
    extern "C" bool function(                                                                           \
        std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &,                          \
        float, unsigned int, int *, float *&);                                                          \
    static_assert(std::is_convertible<decltype(&function), NvDsInferSemSegmentationParseCustomFunc>::value,\
                  #function " is no NvDsInferSemSegmentationParseCustomFunc")

#endif
