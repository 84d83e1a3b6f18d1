// One parse function of each kind, and some that go wrong.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "nvdsinfer_custom_impl.h"

namespace
{

const NvDsInferLayerInfo *find(std::vector<NvDsInferLayerInfo> const &layers, const char *name)
{
    for (auto const &layer : layers)
        if (!std::strcmp(layer.layerName, name) && layer.buffer && !layer.isInput)
            return &layer;
    return nullptr;
}

// Rows cx, cy, width, height and a row for each class; anchors are columns.
template <class Take>
bool eachObject(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferParseDetectionParams const &params, Take const &take)
{
    const NvDsInferLayerInfo *layer = find(layers, "output0");
    if (!layer || layer->dataType != FLOAT || layer->inferDims.numDims != 2)
        return false;
    const unsigned int rows = layer->inferDims.d[0], anchors = layer->inferDims.d[1];
    if (rows * anchors != layer->inferDims.numElements || rows < 4 + params.numClassesConfigured)
        return false;
    const float *data = static_cast<const float *>(layer->buffer);
    for (unsigned int a = 0; a < anchors; a++) {
        unsigned int best = 0;
        for (unsigned int c = 1; c < params.numClassesConfigured; c++)
            if (data[(4 + c) * anchors + a] > data[(4 + best) * anchors + a])
                best = c;
        const float score = data[(4 + best) * anchors + a];
        if (score < params.perClassThreshold[best])
            continue;
        const float width = data[2 * anchors + a], height = data[3 * anchors + a];
        take(best, data[a] - width / 2, data[anchors + a] - height / 2, width, height, score);
    }
    return true;
}

}  // namespace

extern "C" bool ParseBoxes(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &network,
    NvDsInferParseDetectionParams const &params, std::vector<NvDsInferObjectDetectionInfo> &objects)
{
    if (!network.width || params.perClassPostclusterThreshold.size() != params.numClassesConfigured)
        return false;
    return eachObject(layers, params, [&](unsigned int id, float x, float y, float w, float h, float score) {
        objects.push_back(NvDsInferObjectDetectionInfo{id, x, y, w, h, score});
    });
}
CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(ParseBoxes);

extern "C" bool ParseMasks(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &,
    NvDsInferParseDetectionParams const &params, std::vector<NvDsInferInstanceMaskInfo> &objects)
{
    return eachObject(layers, params, [&](unsigned int id, float x, float y, float w, float h, float score) {
        const unsigned int rows = 12, columns = 16;
        float *mask = new float[rows * columns];
        for (unsigned int i = 0; i < rows * columns; i++)
            mask[i] = static_cast<float>(i % columns + id) / 32.0f;
        objects.push_back(NvDsInferInstanceMaskInfo{
            id, x, y, w, h, score, mask, columns, rows, static_cast<unsigned int>(rows * columns * sizeof(float))});
    });
}
CHECK_CUSTOM_INSTANCE_MASK_PARSE_FUNC_PROTOTYPE(ParseMasks);

// Keypoints the way pose parsers send them: bytes of a mask that has the network's size.
extern "C" bool ParsePoints(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &network,
    NvDsInferParseDetectionParams const &params, std::vector<NvDsInferInstanceMaskInfo> &objects)
{
    return eachObject(layers, params, [&](unsigned int id, float x, float y, float w, float h, float score) {
        float *points = new float[6]{x, y, 1.0f, x + w, y + h, 0.5f};
        objects.push_back(
            NvDsInferInstanceMaskInfo{id, x, y, w, h, score, points, network.width, network.height, 6 * sizeof(float)});
    });
}
CHECK_CUSTOM_INSTANCE_MASK_PARSE_FUNC_PROTOTYPE(ParsePoints);

extern "C" bool ParseLabels(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &, float threshold,
    std::vector<NvDsInferAttribute> &attributes, std::string &description)
{
    for (unsigned int task = 0; task < layers.size(); task++) {
        const NvDsInferLayerInfo &layer = layers[task];
        const float *data = static_cast<const float *>(layer.buffer);
        const float *best = std::max_element(data, data + layer.inferDims.numElements);
        if (*best < threshold)
            continue;
        char name[200];
        std::snprintf(name, sizeof name, "%s-%d", layer.layerName, static_cast<int>(best - data));
        // The label of the second task comes from the label file.
        attributes.push_back(NvDsInferAttribute{
            task, static_cast<unsigned int>(best - data), *best, task == 1 ? nullptr : strdup(name)});
        description += (task ? " and " : "") + std::string(name);
    }
    return true;
}
CHECK_CUSTOM_CLASSIFIER_PARSE_FUNC_PROTOTYPE(ParseLabels);

extern "C" bool ParsePixels(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &network, float threshold,
    unsigned int classes, int *classMap, float *&probabilities)
{
    const NvDsInferLayerInfo *layer = find(layers, "output0");
    const unsigned int area = network.width * network.height;
    if (!layer || layer->inferDims.numElements != classes * area)
        return false;
    probabilities = static_cast<float *>(layer->buffer);
    for (unsigned int i = 0; i < area; i++)
        for (unsigned int c = 0; c < classes; c++)
            if (probabilities[c * area + i] >= threshold &&
                (classMap[i] < 0 || probabilities[c * area + i] > probabilities[classMap[i] * area + i]))
                classMap[i] = static_cast<int>(c);
    return true;
}
CHECK_CUSTOM_SEM_SEGMENTATION_PARSE_FUNC_PROTOTYPE(ParsePixels);

// A function for DeepStream 8, where class numbers are INT64.
extern "C" bool ParseWide(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &,
    NvDsInferParseDetectionParams const &, std::vector<NvDsInferObjectDetectionInfo> &objects)
{
    if (layers[0].dataType != INT64)
        return false;
    const int64_t *values = static_cast<const int64_t *>(layers[0].buffer);
    for (unsigned int i = 0; i < layers[0].inferDims.numElements; i++)
        objects.push_back(NvDsInferObjectDetectionInfo{static_cast<unsigned int>(values[i]), 1, 2, 3, 4, 0.5f});
    return true;
}
CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(ParseWide);

extern "C" bool ParseNumbers(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &,
    NvDsInferParseDetectionParams const &, std::vector<NvDsInferObjectDetectionInfo> &objects)
{
    for (auto const &layer : layers) {
        const int64_t value = layer.dataType == INT32  ? static_cast<const int32_t *>(layer.buffer)[0]
                              : layer.dataType == INT8 ? static_cast<const int8_t *>(layer.buffer)[0]
                              : layer.dataType == UINT8
                                  ? static_cast<const uint8_t *>(layer.buffer)[0]
                                  : static_cast<int64_t>(static_cast<const float *>(layer.buffer)[0]);
        objects.push_back(NvDsInferObjectDetectionInfo{
            static_cast<unsigned int>(layer.dataType), static_cast<float>(value),
            static_cast<float>(layer.inferDims.numDims), static_cast<float>(layer.inferDims.numElements),
            static_cast<float>(layer.bindingIndex), 0.5f});
    }
    return true;
}
CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(ParseNumbers);

extern "C" bool ParseNothing(
    std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &, NvDsInferParseDetectionParams const &,
    std::vector<NvDsInferObjectDetectionInfo> &objects)
{
    objects.resize(3);
    return false;
}
CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(ParseNothing);

bool ParseMangled(
    std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &, NvDsInferParseDetectionParams const &,
    std::vector<NvDsInferObjectDetectionInfo> &)
{
    return true;
}
