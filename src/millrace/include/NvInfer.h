/*
 * NvInfer.h: a stand-in with the few TensorRT names that parser sources mention in passing, so that they compile
 * without it. Where TensorRT's own header is on the include path, that one is taken. No network can be built with this.
 */
#if defined(__has_include_next)
#if __has_include_next(<NvInfer.h>)
#define MILLRACE_REAL_NVINFER 1
#endif
#endif

#ifdef MILLRACE_REAL_NVINFER
#include_next <NvInfer.h>
#elif !defined(MILLRACE_NVINFER_H)
#define MILLRACE_NVINFER_H

#include <cstdint>

namespace nvinfer1
{

class IBuilder;
class IBuilderConfig;
class ICudaEngine;
class ILogger;
class INetworkDefinition;

enum class DataType : int32_t;

/* Shape of a tensor, batch included. */
struct Dims {
    static constexpr int32_t MAX_DIMS = 8;
    int32_t nbDims;
    int32_t d[MAX_DIMS];
};

class ITensor
{
public:
    virtual Dims getDimensions() const = 0;

protected:
    virtual ~ITensor() = default;
};

}  /* namespace nvinfer1 */

#endif
