#!/usr/bin/env bats
# Checkpoints that PyTorch reads and writes: ours in PyTorch's models, by load_state_dict(strict=True), and PyTorch's
# in ours, their logits side by side. Needs a Python with torch and safetensors: SEKI_TORCH_PYTHON, or that of
# scripts/torch-venv in build/torch.

load helpers
load pictures

find_python() {
    python=${SEKI_TORCH_PYTHON:-$build/torch/bin/python}
    "$python" -c 'import numpy, torch, safetensors.torch' 2> /dev/null
}

# Made once: pictures in CIFAR-10's format whose class shows in the colour, and the program that prints logits.
setup_file() {
    find_python || return 0
    cd "$BATS_FILE_TMPDIR" || return
    mkdir cifar
    python3 - << 'END'
import random
noise = random.Random(5)
for name in ["test_batch"] + ["data_batch_%d" % i for i in range(1, 6)]:
    with open("cifar/%s.bin" % name, "wb") as file:
        for i in range(24):
            label = noise.randrange(10)
            file.write(bytes([label]) + bytes((20 * label + 30 * (j // 1024) + noise.randrange(60)) % 256
                                              for j in range(3072)))
END
    local flags=''
    [ -z "${SANITIZE:-}" ] || flags='-fsanitize=address,undefined'
    # shellcheck disable=SC2046,SC2086 # flags
    "${CC:-cc}" -std=c11 -Wall -Wextra -Werror -D_POSIX_C_SOURCE=200809L -fopenmp $flags -I"$top/lib" \
        "$top/tests/example/logits.c" "$build/libseki.a" $(cat "$build/libraries") -o logits
}

setup() {
    find_python || skip "needs a Python with torch and safetensors: scripts/torch-venv build/torch makes one, SEKI_TORCH_PYTHON names another"
    cd "$BATS_TEST_TMPDIR" || return
    made=$BATS_FILE_TMPDIR data=$BATS_FILE_TMPDIR/cifar
    set -o pipefail
}

torch() {
    "$python" "$top/tests/reference/interchange.py" "$@"
}

# same_logits FILE network|supernet CHANNELS LAYERS GENOTYPE [MEANS DEVIATIONS]: of both sides, on the same pictures.
# Both compute in single precision, 24 bits, and add in orders of their own: over the 20 to 40 layers of these networks
# that came to 1e-7 to 7e-7 of the largest logit. A tensor that is transposed, exchanged or left out comes to 1e-2 or
# more.
same_logits() {
    local mean=${6-} std=${7-}
    [ -n "$mean" ] || mean=$(tensors "$1" | sed -n 's/^mean = //p')
    [ -n "$std" ] || std=$(tensors "$1" | sed -n 's/^std = //p')
    set -- "$1" "$data" "$2" "$3" "$4" "$mean" "$std" 40 "$5"
    torch logits "$@" > theirs || return
    for backend in ref cpu; do
        SEKI_BACKEND=$backend "$made/logits" "$@" > ours || return
        torch compare theirs ours 3e-6 || return
    done
}

train_final() { # FILE LAYERS GENOTYPE OPTION…
    seki-train -q -d "$data" -o "$1" -C 4 -L "$2" -e 2 -b 20 -t 1 --lr 0.05 "${@:4}" <<< "$3" > trained
}

train_supernet() { # FILE LAYERS SPACE
    seki-supernet -q -s "$3" -d "$data" -o "$1" -C 4 -L "$2" -e 2 -b 20 -t 1 --lr 0.05 > trained
}

@test "a final network of seki-train's has the same logits in PyTorch" {
    train_final darts.st 3 "$darts_genotype"
    tensors darts.st | grep -q '^auxiliary_head[.]'
    same_logits darts.st network 4 3 "$darts_genotype"
    train_final nas201.st 1 "$nas201_genotype"
    same_logits nas201.st network 4 1 "$nas201_genotype"
}

@test "the test accuracy and loss of seki-train are those that PyTorch finds" {
    train_final darts.st 3 "$darts_genotype" --auxiliary 0
    mean=$(tensors darts.st | sed -n 's/^mean = //p') std=$(tensors darts.st | sed -n 's/^std = //p')
    torch score darts.st "$data" network 4 3 "$mean" "$std" 0 "$darts_genotype" > theirs
    jq -r 'select(.metrics) | "\(.metrics.test_accuracy) \(.metrics.test_loss)"' trained > ours
    cat theirs ours
    torch compare <(cut -d ' ' -f 1 theirs) <(cut -d ' ' -f 1 ours) 1e-12
    torch compare <(cut -d ' ' -f 2 theirs) <(cut -d ' ' -f 2 ours) 1e-5
}

@test "every genotype of a supernet has the same logits in PyTorch" {
    for space in darts nas201; do
        layers=1
        [ $space = nas201 ] || layers=3
        train_supernet $space.st $layers $space
        for seed in 1 2 3; do
            genotype=$(seki-propose -q --policy random --space $space --seed $seed | jq -r .genotype)
            same_logits $space.st supernet 4 $layers "$genotype"
        done
    done
}

@test "a state_dict of PyTorch's has the same logits here, and seki-eval finds its accuracy and loss" {
    while IFS='|' read -r layers genotype; do
        constants=("0.49,0.48,0.45" "0.25,0.24,0.26")
        arguments=("$data" network 4 "$layers" "${constants[@]}" 0 "$genotype")
        torch train theirs.st "${arguments[@]}"
        expect_equal "" "$(grep -ao __metadata__ theirs.st || true)"
        same_logits theirs.st network 4 "$layers" "$genotype" "${constants[@]}"
        torch score theirs.st "${arguments[@]}" > theirs
        seki-eval -q -w theirs.st -d "$data" -C 4 -L "$layers" --mean "${constants[0]}" --std "${constants[1]}" \
            <<< "$genotype" | jq -r '"\(.metrics.test_accuracy) \(.metrics.test_loss)"' > ours
        cat theirs ours
        torch compare <(cut -d ' ' -f 1 theirs) <(cut -d ' ' -f 1 ours) 1e-12
        torch compare <(cut -d ' ' -f 2 theirs) <(cut -d ' ' -f 2 ours) 1e-5
    done <<< "3|$darts_genotype"$'\n'"1|$nas201_genotype"
}

@test "PyTorch's users can check the checksums, and save a file anew with its metadata" {
    train_supernet nas201.st 1 nas201
    torch checksums nas201.st
    torch resave nas201.st same.st
    expect_status 0 seki-eval -q -s same.st -d "$data" <<< "$nas201_genotype"
    same=$output
    expect_status 0 seki-eval -q -s nas201.st -d "$data" <<< "$nas201_genotype"
    expect_equal "$(jq -c '[.score, .metrics.valid_loss]' <<< "$output")" "$(jq -c '[.score, .metrics.valid_loss]' <<< "$same")"
    # Other weights under the old checksums are refused; without them they are read.
    torch resave nas201.st other.st 'tensors["stem.0.weight"] *= 2'
    expect_status 1 seki-eval -q -s other.st -d "$data" <<< "$nas201_genotype"
    expect_in "$stderr" "other.st: tensor stem.0.weight has the checksum "
    torch resave nas201.st other.st 'tensors["classifier.weight"] *= 2; del metadata["crc32"], metadata["settings_crc32"]'
    expect_status 0 seki-eval -q -s other.st -d "$data" <<< "$nas201_genotype"
    [ "$(jq .metrics.valid_loss <<< "$output")" != "$(jq .metrics.valid_loss <<< "$same")" ]
}
