#include "GraftKernels.h"

#include <string.h>

// #embed is C23; the compiler in Swift's toolchain has it in every mode and only warns.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const char activation_text[] = {
#embed "activation.cl"
};
static const char attention_text[] = {
#embed "attention.cl"
};
static const char attention_tiles_text[] = {
#embed "attention_tiles.cl"
};
static const char batch_norm_text[] = {
#embed "batch_norm.cl"
};
static const char benchmark_text[] = {
#embed "benchmark.cl"
};
static const char channel_sums_text[] = {
#embed "channel_sums.cl"
};
static const char columns_text[] = {
#embed "columns.cl"
};
static const char common_text[] = {
#embed "common.cl"
};
static const char declarations_text[] = {
#embed "declarations.cl"
};
static const char depthwise_conv_text[] = {
#embed "depthwise_conv.cl"
};
static const char drop_path_text[] = {
#embed "drop_path.cl"
};
static const char dropout_text[] = {
#embed "dropout.cl"
};
static const char elementwise_text[] = {
#embed "elementwise.cl"
};
static const char gradient_slices_text[] = {
#embed "gradient_slices.cl"
};
static const char grouped_linear_text[] = {
#embed "grouped_linear.cl"
};
static const char head_norm_text[] = {
#embed "head_norm.cl"
};
static const char kronecker_text[] = {
#embed "kronecker.cl"
};
static const char kronecker_tiles_text[] = {
#embed "kronecker_tiles.cl"
};
static const char layer_norm_text[] = {
#embed "layer_norm.cl"
};
static const char linear_text[] = {
#embed "linear.cl"
};
static const char loss_text[] = {
#embed "loss.cl"
};
static const char matmul_text[] = {
#embed "matmul.cl"
};
static const char matmul_finish_text[] = {
#embed "matmul_finish.cl"
};
static const char matmul_lanes_text[] = {
#embed "matmul_lanes.cl"
};
static const char matmul_tiles_text[] = {
#embed "matmul_tiles.cl"
};
static const char matmul_units_text[] = {
#embed "matmul_units.cl"
};
static const char optimizer_text[] = {
#embed "optimizer.cl"
};
static const char pack_text[] = {
#embed "pack.cl"
};
static const char patch_embed_text[] = {
#embed "patch_embed.cl"
};
static const char reduce_text[] = {
#embed "reduce.cl"
};
static const char rotary_text[] = {
#embed "rotary.cl"
};
static const char scale_shift_text[] = {
#embed "scale_shift.cl"
};
static const char tokens_text[] = {
#embed "tokens.cl"
};
static const char transpose_text[] = {
#embed "transpose.cl"
};
static const char unfold_text[] = {
#embed "unfold.cl"
};

#define SOURCE(name) {#name, name##_text, sizeof name##_text}

static const graft_kernel_source sources[] = {
    SOURCE(activation),
    SOURCE(attention),
    SOURCE(attention_tiles),
    SOURCE(batch_norm),
    SOURCE(benchmark),
    SOURCE(channel_sums),
    SOURCE(columns),
    SOURCE(common),
    SOURCE(declarations),
    SOURCE(depthwise_conv),
    SOURCE(drop_path),
    SOURCE(dropout),
    SOURCE(elementwise),
    SOURCE(gradient_slices),
    SOURCE(grouped_linear),
    SOURCE(head_norm),
    SOURCE(kronecker),
    SOURCE(kronecker_tiles),
    SOURCE(layer_norm),
    SOURCE(linear),
    SOURCE(loss),
    SOURCE(matmul),
    SOURCE(matmul_finish),
    SOURCE(matmul_lanes),
    SOURCE(matmul_tiles),
    SOURCE(matmul_units),
    SOURCE(optimizer),
    SOURCE(pack),
    SOURCE(patch_embed),
    SOURCE(reduce),
    SOURCE(rotary),
    SOURCE(scale_shift),
    SOURCE(tokens),
    SOURCE(transpose),
    SOURCE(unfold),
};

graft_kernel_source graft_kernel_source_named(const char *name) {
  for (size_t i = 0; i < sizeof sources / sizeof *sources; ++i) {
    if (strcmp(sources[i].name, name) == 0) return sources[i];
  }
  return (graft_kernel_source){NULL, NULL, 0};
}
