#!/bin/sh
# What `make demo` runs, from the repository's folder: a whole search on Fashion-MNIST, small enough
# for two cores and a few minutes. A language model designs the networks: the one that
# OPENAI_BASE_URL names, else a small one on this machine (seki-local-llm).
#
# A demo that was ended goes on where it was. DEMO=folder chooses another folder than demo/.
set -eu

# The search. The random candidate, then LAMBDA + GAMMA that the model proposes.
SPACE=darts
LAMBDA=6
GAMMA=3
TOP=5
SEED=1

# A small model makes nothing of long prompts; a hosted one is shown all that the search has found.
EVIDENCE=full
[ -n "${OPENAI_BASE_URL:-}" ] || EVIDENCE=none

# The supernet.
IMAGES=12000
SCORE_IMAGES=1000
SUPERNET_EPOCHS=8
SUPERNET_CHANNELS=8
SUPERNET_LAYERS=5

# The final network.
EPOCHS=4
CHANNELS=12
LAYERS=5
TRAIN_IMAGES=20000
BATCH=64

demo=${DEMO:-demo}
PATH=$PWD/${BUILD:-build}/bin:$PATH
export PATH

say() {
    printf '\ndemo: %s\n' "$*" >&2
}

find_pictures() {
    pictures=$(dpkg -L dataset-fashion-mnist 2>/dev/null | sed -n 's|/train-images-idx3-ubyte.*||p')
    [ -n "$pictures" ] || {
        say 'Fashion-MNIST is missing: make deps installs the package dataset-fashion-mnist'
        exit 3
    }
}

searched() {
    [ -s "$demo/candidates.jsonl" ] &&
        [ "$(wc -l <"$demo/candidates.jsonl")" -ge $((1 + LAMBDA + GAMMA)) ]
}

# A model that ran before is left running, unless it is a killed demo's.
start_model() {
    if ! seki-local-llm status >/dev/null 2>&1; then
        mkdir -p "$demo.model"
    fi
    say 'a small language model on this machine (the first time it is downloaded)'
    started=$(seki-local-llm start) || exit 3
    eval "$started"
}

stop_model() {
    if [ -d "$demo.model" ]; then
        seki-local-llm stop >/dev/null 2>&1 || :
        rmdir "$demo.model"
    fi
}

if [ -s "$demo/final/record.jsonl" ] && searched; then
    say "$demo is finished; only its page is made again (rm -r $demo, or DEMO=other, for a new one)"
    seki report "$demo"
    exit
fi

find_pictures
trap stop_model EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

[ -n "${OPENAI_BASE_URL:-}" ] || searched || start_model

say "search: a supernet, a random candidate, and $((LAMBDA + GAMMA)) that ${SEKI_MODEL:-a model} designs"
seki search "$demo" --data "$pictures" --space "$SPACE" --policy llm --seed "$SEED" \
    --lambda "$LAMBDA" --gamma "$GAMMA" -k "$TOP" --evidence "$EVIDENCE" --images "$IMAGES" --score-images "$SCORE_IMAGES" \
    --epochs "$SUPERNET_EPOCHS" --channels "$SUPERNET_CHANNELS" --layers "$SUPERNET_LAYERS"
stop_model

say 'the best candidate, trained from scratch and tested'
seki train "$demo" --epochs "$EPOCHS" --channels "$CHANNELS" --layers "$LAYERS" \
    --images "$TRAIN_IMAGES" --batch "$BATCH" --auxiliary 0 --drop-path 0 --cutout 0

seki report "$demo"
say "done; open $demo/report.html in a browser"
