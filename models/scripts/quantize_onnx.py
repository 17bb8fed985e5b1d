"""Makes the int8 form of a model for onnxruntime: python quantize_onnx.py MODEL.onnx INT8.onnx

Needs onnxruntime and onnx. Activations are quantized when they are computed, weights by output channel.
"""

import sys

from onnxruntime.quantization import QuantType, quantize_dynamic

quantize_dynamic(sys.argv[1], sys.argv[2], weight_type=QuantType.QInt8, per_channel=True)
