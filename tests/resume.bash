# Runs of training programs that are stopped and gone on with: `load resume` after `load pictures`. They call the
# test's own `train RECORD FILE EPOCHS OPTION…`, which puts the words of $become before the program.

# stop_at FILE STEP SIGNAL COMMAND…: runs the command and sends it the signal once FILE, a checkpoint, holds STEP
# steps or more, counted over all epochs. Its status, 128 + the signal's number where that ended it; 99: it ended
# before, or the step did not come within a minute.
stop_at() {
    python3 - "$@" 3>&- << 'END'
import json, signal, struct, subprocess, sys, time
path, step, number = sys.argv[1], int(sys.argv[2]), getattr(signal, "SIG" + sys.argv[3])

def done():
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    except FileNotFoundError:
        return -1
    strings = header["__metadata__"]
    trained = int(strings["images"]) // (2 if strings["seki"] == "supernet" else 1)
    batch = int(strings["batch"])
    return int(strings["epoch"]) * (trained // batch + (trained % batch > 1)) + int(strings["step"])

program = subprocess.Popen(sys.argv[4:], stdin=subprocess.DEVNULL)
deadline = time.time() + 60
while done() < step and program.poll() is None and time.time() < deadline:
    time.sleep(0.0005)
if program.poll() is not None or time.time() >= deadline:
    program.kill()
    sys.exit(99)
program.send_signal(number)
status = program.wait()
sys.exit(128 - status if status < 0 else status)
END
}

# The epochs among the JSON lines of standard input, without what the clock gave; the last of each.
figures() {
    jq -s -c 'map(select(has("epoch")) | del(.seconds, .data_seconds, .images_per_second)) |
        group_by(.epoch) | map(.[-1])[]'
}

# The lines of standard input that are about no epoch.
records() {
    jq -c 'select(has("epoch") | not)'
}

# killed_and_resumed RECORD EPOCHS STEPS OPTION…: trained in one go, and killed at three steps drawn at random
# (STEPS is how many there are) and gone on with each time: the same file, byte for byte, the same figures of every
# epoch, the same record.
killed_and_resumed() {
    local step status seed=${STEPS_SEED:-$RANDOM}
    train "$1" whole.st "$2" -B ref "${@:4}" > whole || return
    echo "the same steps again: STEPS_SEED=$seed"
    RANDOM=$seed
    for step in $(for _ in 1 2 3; do echo $((1 + RANDOM % ($3 - 1))); done | sort -nu); do
        status=0
        become="stop_at part.st $step KILL" \
            train "$1" part.st "$2" -B ref "${@:4}" --save-every 1 --resume >> parts || status=$?
        tensors part.st > part
        echo "killed at step $step: $(grep -E '^(epoch|step) = ' part | paste -sd ' ')"
        expect_equal 137 "$status" || return
        # A file that is not finished has a momentum beside each parameter.
        expect_equal "$(grep -v -e running_ -e '^momentum[.]' part | grep ' F32 ')" \
            "$(sed -n 's/^momentum[.]//p' part)" || return
    done
    train "$1" part.st "$2" -B ref "${@:4}" --resume >> parts || return
    expect_equal "$(figures < whole)" "$(figures < parts)" || return
    expect_equal "$(records < whole)" "$(records < parts)" || return
    cmp whole.st part.st
}

# stopped_and_resumed PROGRAM RECORD EPOCHS STEP SIGNAL: at the signal, it ends its step, keeps it, and says how to go
# on; so done, it ends as if it had not been stopped.
stopped_and_resumed() {
    local name=$2 epochs=$3
    train "$name" whole.st "$epochs" > whole || return
    # No save but that of the signal and those at the ends of epochs.
    become="stop_at part.st $4 $5" expect_status 3 train "$name" part.st "$epochs" || return
    echo "$output" > parts
    echo "$stderr"
    [[ $stderr =~ ^"$1: part.st: stopped by SIG$5 in epoch "([0-9]+)" of $epochs after step "([0-9]+)" of "[0-9]+", which is saved: the same command with --resume goes on from there"$ ]] || return
    expect_equal "epoch = $((BASH_REMATCH[1] - 1)) step = ${BASH_REMATCH[2]}" \
        "$(tensors part.st | grep -E '^(epoch|step) = ' | paste -sd ' ')" || return
    train "$name" part.st "$epochs" --resume >> parts || return
    expect_equal "$(figures < whole)" "$(figures < parts)" || return
    expect_equal "$(records < whole)" "$(records < parts)" || return
    cmp whole.st part.st
}
