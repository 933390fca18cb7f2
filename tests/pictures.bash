# Small data sets for the .bats files that train and score: `load pictures`.

# Threads that wait for one another give the processor away: on a machine that is busy, networks as
# small as these take a hundred times as long otherwise.
export OMP_WAIT_POLICY=passive

# make_pictures FOLDER TRAIN TEST [SIDE]: IDX files of that many pictures of SIDE x SIDE (16) in four
# classes that differ in texture, which neither a crop nor a flip changes: even, checked, striped
# across, striped down, each with noise. The same arguments give the same bytes.
make_pictures() {
    mkdir -p "$1"
    python3 - "$1" "$2" "$3" "${4:-16}" << 'END'
import random, struct, sys
folder, side = sys.argv[1], int(sys.argv[4])
noise = random.Random(7)
lit = (lambda x, y: x < 0, lambda x, y: (x + y) % 2, lambda x, y: y % 2, lambda x, y: x % 2)
for split, count in (("train", int(sys.argv[2])), ("t10k", int(sys.argv[3]))):
    labels = bytes(i % 4 for i in range(count))
    pixels = bytearray()
    for label in labels:
        for y in range(side):
            for x in range(side):
                pixels.append((60 if lit[label](x, y) else 0) + 100 + noise.randrange(40))
    with open(f"{folder}/{split}-images-idx3-ubyte", "wb") as file:
        file.write(struct.pack(">BBBBIII", 0, 0, 8, 3, count, side, side) + pixels)
    with open(f"{folder}/{split}-labels-idx1-ubyte", "wb") as file:
        file.write(struct.pack(">BBBBI", 0, 0, 8, 1, count) + labels)
END
}

# member NAME: the numbers or strings of that member in the JSON lines of standard input.
member() {
    jq -r --arg name "$1" 'getpath($name | split(".")) // empty'
}

# tensors FILE: "NAME DTYPE SHAPE" of each tensor of a safetensors file, and "NAME = TEXT" of its
# metadata.
tensors() {
    python3 - "$1" << 'END'
import json, struct, sys
with open(sys.argv[1], "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
for name, text in header.pop("__metadata__").items():
    print(name, "=", text)
for name, tensor in header.items():
    print(name, tensor["dtype"], ",".join(map(str, tensor["shape"])))
END
}

# change_tensors FILE OUT CODE: FILE with CODE run over `header` (dict) and `data` (bytearray).
change_tensors() {
    python3 - "$@" << 'END'
import json, struct, sys
with open(sys.argv[1], "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    data = bytearray(file.read())
exec(sys.argv[3])
text = json.dumps(header).encode()
with open(sys.argv[2], "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
END
}

# shellcheck disable=SC2034 # for the tests
darts_genotype="Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 2), ('avg_pool_3x3', 0), ('sep_conv_3x3', 1)], normal_concat=[2, 3, 4, 5], reduce=[('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('avg_pool_3x3', 1), ('skip_connect', 2), ('sep_conv_3x3', 0), ('skip_connect', 3)], reduce_concat=[2, 3, 4, 5])"
# shellcheck disable=SC2034
nas201_genotype='|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|'
