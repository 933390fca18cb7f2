#!/usr/bin/env bats
# Which folder may know which, from the #include lines.

load helpers

@test "the folders of lib know only those they may" {
    expect_status 0 sh "$top/scripts/check-includes" "$top"
    expect_equal "" "$output"
}

# Each of these lines in a file would break a rule; one that keeps it is in the same tree.
@test "an include that breaks a rule is named" {
    local count=0 file include reason
    while IFS='|' read -r file include reason; do
        rm -rf tree
        mkdir -p tree/lib/base tree/tools tree/bench "tree/$(dirname "$file")"
        echo '#include "base/base.h"' > tree/lib/base/good.c
        printf '/* a comment */\n#include %s\n' "$include" > "tree/$file"
        expect_status 1 sh "$top/scripts/check-includes" tree
        expect_in "$output" "$file:2: includes" "$reason"
        expect_equal 1 "${#lines[@]}"
        count=$((count + 1))
    done <<'EOF'
lib/base/x.c|"genotype/genotype.h"|lib/base may not know lib/genotype
lib/genotype/x.c|"record/record.h"|lib/genotype may not know lib/record
lib/record/x.c|"llm/llm.h"|lib/record may not know lib/llm
lib/llm/x.c|"nn/backend.h"|lib/llm may not know lib/nn
lib/llm/x.c|"network/network.h"|lib/llm may not know lib/network
lib/data/x.h|"genotype/genotype.h"|lib/data may not know lib/genotype
lib/nn/cpu/x.c|"data/data.h"|lib/nn may not know lib/data
lib/nn/ref/x.c|"genotype/genotype.h"|lib/nn may not know lib/genotype
lib/network/x.c|"record/record.h"|lib/network may not know lib/record
lib/network/x.c|"training/training.h"|lib/network may not know lib/training
lib/training/x.c|"llm/llm.h"|lib/training may not know lib/llm
lib/training/x.c|"../llm/llm.h"|named from lib
lib/unheard/x.c|"base/base.h"|does not know the folder lib/unheard
lib/nn/ref/x.c|<oneapi/dnnl/dnnl.h>|only lib/nn/cpu may include oneDNN
lib/network/x.c|<dnnl.h>|only lib/nn/cpu may include oneDNN
lib/nn/cpu/x.c|<cuda_runtime.h>|only lib/nn/cuda may include CUDA
tools/seki-x/x.c|<cudnn.h>|only lib/nn/cuda may include CUDA
tools/seki-x/x.c|<curl/curl.h>|only lib/llm may include curl
lib/record/x.c|<png.h>|only lib/data may include libjpeg and libpng
lib/nn/x.c|<jpeglib.h>|only lib/data may include libjpeg and libpng
lib/genotype/x.c|"base/base_internal.h"|a private header of lib/base
tools/seki-x/x.c|"record/record_internal.h"|a private header of lib/record
lib/nn/cpu/x.c|"nn/ref/ref_internal.h"|a private header of lib/nn/ref
EOF
    expect_equal 23 "$count"
}

@test "what each part may include is not complained of" {
    mkdir -p tree/lib/{base,llm,data,network,training,nn/cpu,nn/cuda} tree/tools/seki-x tree/bench
    echo '#include "base/base_internal.h"' > tree/lib/base/x.c
    printf '#include <curl/curl.h>\n#include "record/record.h"\n' > tree/lib/llm/x.c
    printf '#include <png.h>\n' > tree/lib/data/x.c
    printf '#include "nn/backend.h"\n#include "genotype/genotype.h"\n' > tree/lib/network/x.c
    printf '#include "network/network.h"\n#include "record/record.h"\n' > tree/lib/training/x.c
    printf '#include "oneapi/dnnl/dnnl.h"\n#include "nn/nn_internal.h"\n' > tree/lib/nn/cpu/x.c
    printf '#include <cudnn.h>\n' > tree/lib/nn/cuda/x.cu
    printf '#include "llm/llm.h"\n#include "training/training.h"\n#include "x_internal.h"\n' \
        > tree/tools/seki-x/x.c
    expect_status 0 sh "$top/scripts/check-includes" tree
    expect_equal "" "$output"
}

@test "a tree without includes is not taken for a good one" {
    mkdir -p tree/lib tree/tools
    expect_status 1 sh "$top/scripts/check-includes" tree
    expect_equal "no include found" "$output"
}
