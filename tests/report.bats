#!/usr/bin/env bats
# seki report: one page that needs nothing else, whatever the records hold.
# shellcheck disable=SC2154 # run sets stderr

load helpers

# A run as a search leaves it, hand-made: five candidates of which one failed, a supernet's three
# epochs, a final network's two.
setup() {
    cd "$BATS_TEST_TMPDIR" || return
    set -o pipefail
    mkdir -p run/final
    printf '%s\n' 'data=/data/pictures' 'space=nas201' 'policy=llm' 'lambda=2' 'gamma=2' 'seed=42' > run/settings
    local ops=(none skip_connect nor_conv_1x1 nor_conv_3x3)
    for step in 0 1 2 3; do
        jq -n -c --arg g "|nor_conv_3x3~0|+|skip_connect~0|${ops[step]}~1|+|skip_connect~0|none~1|avg_pool_3x3~2|" --argjson step "$step" '{step: $step, space: "nas201",
            genotype: $g, id: "00000000000000a\($step)", proposer: {stage: "evolution", policy: "llm", model: "a model",
            analysis: "Shallow \($step).", strategy: "Deepen.", attempts: 2, prompt_tokens: 1000, completion_tokens: 50,
            seconds: 1.5}, score: (70 + $step), metrics: {params: 1234567, macs: 45600000}}'
    done > run/candidates.jsonl
    echo '{"step": 4, "space": "nas201", "proposer": {"stage": "inspiration", "policy": "llm", "model": "a model", "attempts": 4, "prompt_tokens": 500, "completion_tokens": 5}, "error": {"code": "genotype", "message": "no genotype in the reply"}}' >> run/candidates.jsonl
    seki-rank --repository run/repository.jsonl < <(head -n 4 run/candidates.jsonl) > /dev/null
    for epoch in 1 2 3; do
        echo "{\"epoch\": $epoch, \"train_accuracy\": 2$epoch.5, \"valid_accuracy\": 1$epoch}"
    done > run/supernet.jsonl
    head -n 2 run/supernet.jsonl > run/final/epochs.jsonl
    head -n 1 run/repository.jsonl | jq -c '.metrics += {test_accuracy: 87.65, test_loss: 0.4321, epochs: 2}' > run/final/record.jsonl
    printf 'data=/data/pictures\nepochs=2\n' > run/final/settings
}

# The page as a browser reads it: "element NAME", "attribute NAME=VALUE", "text TEXT"; fails where
# an element is not closed.
parse() {
    python3 - "$1" << 'END'
import html.parser, sys
VOID = {"meta", "link", "br", "img", "input", "hr"}
class Reader(html.parser.HTMLParser):
    open = []
    def handle_starttag(self, tag, attributes):
        print("element", tag)
        for name, value in attributes:
            print("attribute %s=%s" % (name, value))
        if tag not in VOID:
            self.open.append(tag)
    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)
    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            sys.exit("line %d: </%s> closes nothing" % (self.getpos()[0], tag))
    def handle_data(self, data):
        if data.strip():
            print("text", " ".join(data.split()))
reader = Reader()
reader.feed(open(sys.argv[1], encoding="utf-8").read())
reader.close()
if reader.open:
    sys.exit("not closed: %s" % reader.open)
END
}

# has_text TEXT…: each stands in the page's text.
has_text() {
    parse run/report.html | sed -n 's/^text //p' > text
    local part
    for part; do
        grep -qF -e "$part" text || {
            echo "not on the page: $part"
            return 1
        }
    done
}

@test "the page shows scores, cells, curves, tokens, failures, settings and the test accuracy" {
    expect_status 0 seki report run
    expect_equal "" "$output"
    expect_in "$stderr" 'run/report.html: 5 candidates'
    has_text run nas201 llm 'a model' 42 73.00 1.23 45.6 00000000000000a3 'Shallow 3.' Deepen. \
        'knowledge inspiration' self-evolution 'no genotype in the reply' genotype '87.65 %' 0.4321 \
        'after the last epoch' lambda /data/pictures
    # Tokens: four of 1000 and one of 500, 12 requests.
    has_text '4 500' '205' '12'
    expect_equal 1 "$(grep -c '87.65 %' text)"
    # Curves of the search, the supernet and the network, and the cells of three.
    expect_equal 6 "$(parse run/report.html | grep -cx 'element svg')"
}

@test "the page tells what all requests came to, and what a point of the score cost" {
    seki report run --quiet
    ! grep -q 'cost per point gained' run/report.html || return 1
    {
        for i in 1 2 3 4; do
            echo "{\"request\": \"a-$i\", \"prompt_bytes\": 900, \"most_tokens\": 1500, \"most_cost\": 0.9}"
            [ "$i" -eq 4 ] || echo "{\"request\": \"a-$i\", \"cause\": \"none\", \"prompt_tokens\": 1234, \"cached_tokens\": 200, \"completion_tokens\": 100, \"cost\": 0.5, \"seconds\": 2.5}"
        done
        echo '{"request": "b-1", "prompt_bytes": 900}'
        echo '{"request": "b-1", "cause": "timeout", "estimated": true, "prompt_tokens": 1000, "cached_tokens": 0, "completion_tokens": 0, "cost": 0.3, "seconds": 60}'
    } > run/requests.jsonl
    expect_status 0 seki report run
    # 1.8 for the three points from 70 to 73.
    has_text '4 702' '600' '300' '67.5' '1.8000' '0.6000' 'cost per point gained' \
        'of 1 the endpoint did not tell the tokens' 'of 1 nothing is known'
    parse run/report.html | grep -A 4 -x 'element b' | grep -qx 'text 5' # requests
    # Without a price, or where nothing was gained, there is no such number.
    sed -i 's/"cost": [0-9.]*, //' run/requests.jsonl
    seki report run --quiet
    has_text 'cost per point gained'
    ! grep -q '0.6000' run/report.html || return 1
}

@test "lineages and given starts have their place in the table" {
    printf 'space=nas201\npolicy=llm\nlambda=2\ngamma=1\nlineages=2\nseeds=/x\n' > run/settings
    jq -c 'if .step < 2 then .proposer.policy = "seed" else . end
        | if .step < 4 then .lineage = .step % 2 else . end' run/candidates.jsonl > changed
    mv changed run/candidates.jsonl
    seki report run --quiet
    has_text lineage 'given start' self-evolution 'knowledge inspiration' '5 of 5 steps are done; the last scored candidate is the best.'
    sed -i '/^lineages/d' run/settings
    seki report run --quiet
    ! parse run/report.html | grep -qx 'text lineage' || return 1
}

@test "a few scores far below the others are marked at the edge of the curve, and do not stretch it" {
    jq -c 'if .step < 4 then .score = 90 + .step else . end' run/candidates.jsonl > good
    for step in $(seq 5 24); do
        jq -c --argjson step "$step" 'select(.step == 0) | .step = $step | .score = 91 + $step / 10' good
    done > "more.jsonl"
    cat good more.jsonl > run/candidates.jsonl
    seki report run --quiet
    ! grep -q 'below the range' run/report.html || return 1
    head -n 1 good | jq -c '.step = 25 | .score = 10' >> run/candidates.jsonl
    seki report run --quiet
    has_text 'below the range'
    ! parse run/report.html | grep -qx 'text 20' || return 1 # no tick as low as that
}

@test "the page refers to nothing outside itself and runs nothing" {
    seki report run
    ! grep -q -i -E 'https?://|<script|javascript:|@import|<link|<iframe' run/report.html || return 1
    # What refers at all refers to the page's own figures.
    parse run/report.html | grep -E '^attribute (href|src|xlink:href|action|data|srcset|on[a-z]+)=' | grep -v '=#' > outside || true
    cat outside
    [ ! -s outside ]
    ! grep -E 'url\([^#]' run/report.html || return 1
}

@test "no two elements of the page have the same id, and references find theirs" {
    seki report run
    parse run/report.html > page
    sed -n 's/^attribute id=//p' page | sort > ids
    [ -s ids ]
    expect_equal "" "$(uniq -d ids)"
    sed -n 's/^attribute href=#//p' page | sort -u | comm -23 - <(sort -u ids) > missing
    expect_equal "" "$(cat missing)"
}

@test "text from records and settings comes out as text, whatever it holds" {
    # shellcheck disable=SC2016 # not to be expanded
    hostile='</script></dd><script>alert(1)</script><img src=x onerror=alert(2)>"'"'"'><svg onload=alert(3)>&amp;{{x}}${y}\u0000'
    seki report run
    parse run/report.html | grep -E '^element|^attribute' | cut -d = -f 1 | sort -u > before
    jq -c --arg h "$hostile" 'if .step == 4 then .error = {code: $h, message: $h} | .proposer.model = $h
        else .proposer.analysis = $h | .proposer.strategy = $h | .parents = [$h] | .proposer.model = $h end' \
        run/candidates.jsonl > changed
    mv changed run/candidates.jsonl
    jq -c --arg h "$hostile" '.id = $h | .proposer.analysis = $h' run/repository.jsonl > changed
    mv changed run/repository.jsonl
    jq -c --arg h "$hostile" '.id = $h' run/final/record.jsonl > changed
    mv changed run/final/record.jsonl
    sed -i '/^policy=/d' run/settings
    echo "policy=$hostile" >> run/settings
    expect_status 0 seki report run
    parse run/report.html | grep -E '^element|^attribute' | cut -d = -f 1 | sort -u > after
    diff before after
    has_text '<script>alert(1)</script><img src=x onerror=alert(2)>'
    ! grep -q '<script' run/report.html || return 1
}

@test "numbers where text is expected, and the other way round, break nothing" {
    echo '{"step": 5, "score": "high", "metrics": 7, "proposer": [], "parents": "p", "id": 3, "genotype": null}' >> run/candidates.jsonl
    echo '{"step": 6, "score": 1e300, "metrics": {"params": "many"}, "proposer": {"analysis": {"a": 1}, "attempts": "x"}, "error": "gone"}' >> run/candidates.jsonl
    echo '{"epoch": "x", "train_accuracy": null}' >> run/supernet.jsonl
    echo '{"epoch": 4}' >> run/final/epochs.jsonl
    expect_status 0 seki report run
    parse run/report.html > /dev/null
}

@test "what is not there yet is left out, with a word" {
    rm -r run/final run/supernet.jsonl run/repository.jsonl
    : > run/candidates.jsonl
    expect_status 0 seki report run
    has_text 'No candidate has a score yet.' 'No epoch of the supernet is done yet.' 'Not trained yet'
    printf 'table=/t\ncolumn=best\nspace=nas201\nlambda=2\n' > run/settings
    expect_status 0 seki report run
    has_text 'no supernet was trained'
}

@test "a page about a run that is under way leaves out the line that is being written" {
    printf '{"step": 5, "sco' >> run/candidates.jsonl
    rm run/final/record.jsonl
    expect_status 0 seki report run
    expect_in "$stderr" '5 candidates'
    has_text 'Training is under way'
}

@test "-o names the page, which appears whole or not at all" {
    expect_status 0 seki report run -o page.html --quiet
    expect_equal "" "$stderr"
    [ ! -e run/report.html ]
    tail -n 1 page.html | grep -qx '</html>'
    expect_status 3 seki report run -o nowhere/page.html
    expect_in "$stderr" 'nowhere/page.html cannot be written'
    expect_status 2 seki report other
    expect_in "$stderr" 'other is no run folder'
    expect_equal "" "$(find . -name '*.new')"
}

@test "the page of a search that was made is whole" {
    python3 -c '
import itertools
ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
print("arch\tscore")
for i, g in enumerate(itertools.product(ops, repeat=6)):
    print("|%s~0|+|%s~0|%s~1|+|%s~0|%s~1|%s~2|" % g, 50 + i / 1000, sep="\t")' > table
    seki search made --table table --column score --space nas201 --policy random --lambda 6 --gamma 4 --quiet
    expect_status 0 seki report made
    expect_in "$stderr" 'made/report.html: 11 candidates'
    parse made/report.html > /dev/null
}

@test "-o goes through links and pipes, refuses a folder, and - is standard output" {
    local plain
    seki report run -q
    plain=$(wc -c < run/report.html)
    mkfifo pipe
    timeout 20 cat pipe > through &
    expect_status 0 seki report run -q -o pipe
    wait $!
    [ -p pipe ]
    expect_equal "$plain" "$(wc -c < through)"
    ln -s elsewhere.html link
    expect_status 0 seki report run -q -o link
    [ -h link ]
    expect_equal "$plain" "$(wc -c < elsewhere.html)"
    seki report run -q -o - > page
    expect_equal "$plain" "$(wc -c < page)"
    expect_status 2 seki report run -q -o "$PWD"
    expect_in "$stderr" "is a folder; name a file"
}

@test "a line that is no record is named, in every file of a run, and ends with status 2" {
    sed -i '2s/.*/garbage/' run/candidates.jsonl
    expect_status 2 seki report run
    expect_in "$stderr" "run/candidates.jsonl:2: this line is no record"
}
