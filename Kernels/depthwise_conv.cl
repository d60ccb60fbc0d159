// depthwise_conv
