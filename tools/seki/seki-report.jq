# seki-report.jq - the page of `seki report`: HTML with its style and its figures inside, and nothing
# to load. Whatever is from a record or a settings file passes through @html. Figures come from
# gnuplot and seki-draw, which get numbers and checked genotypes alone.

# ---- Text ----------------------------------------------------------------------------------

def html: tostring | @html;
def fixed($digits): # a number with as many digits after the point
    pow(10; $digits) as $scale
    | (fabs * $scale | round) as $whole
    | ($whole / $scale | floor | tostring) as $before
    | ($whole - ($whole / $scale | floor) * $scale | tostring) as $after
    | (if . < 0 then "-" else "" end) + $before
      + if $digits == 0 then "" else "." + ("0" * ($digits - ($after | length)) // "") + $after end;
def number($digits): if type == "number" then fixed($digits) else "–" end;
def percent: number(2);
def millions($digits): if type == "number" then . / 1e6 | fixed($digits) else "–" end;
def grouped: if length > 3 then (.[:-3] | grouped) + " " + .[-3:] else . end; # no-break space
def count: if type == "number" then fixed(0) | grouped else "–" end;
def row(cells): "<tr>" + ([cells] | join("")) + "</tr>";
def cell: "<td>" + . + "</td>";
def right: "<td class=n>" + . + "</td>";

# ---- Figures -------------------------------------------------------------------------------

# An SVG file as an element of the page: no prolog, no namespaces, ids of its own.
def figure($prefix; $what):
    sub("^[^<]*(<[?!][^>]*>[^<]*)*"; "")
    | gsub(" xmlns(:xlink)?=\"[^\"]*\""; "")
    | gsub("xlink:href="; "href=")
    | sub("<title>Gnuplot</title>\\s*<desc>[^<]*</desc>"; "")
    | gsub(" id=(?<q>[\"'])"; " id=\(.q)\($prefix)-")
    | gsub("href=(?<q>[\"'])#"; "href=\(.q)#\($prefix)-")
    | gsub("url\\(#"; "url(#\($prefix)-")
    | sub("<svg"; "<svg role=img aria-label=\"\($what | html)\"")
    | "<div class=figure>\(.)</div>";

# ---- The run -------------------------------------------------------------------------------

def settings: split("\n") | map(select(test("^[a-z0-9-]+=")) | capture("^(?<name>[^=]*)=(?<value>.*)$"));
def setting($name): first($settings | settings[] | select(.name == $name) | .value) // null;
def proposer($name): if .proposer | type == "object" then .proposer[$name] else null end;
def stage: if (.step | type == "number") and .step < $starts then
        if proposer("policy") == "seed" then "given start" else "random start" end
    elif setting("policy") != "llm" then $policy_title
    elif .lineage != null or proposer("stage") == "evolution" then "self-evolution"
    else "knowledge inspiration" end;
def metric($name): if .metrics | type == "object" then .metrics[$name] else null end;

($candidates | map(select(.score | type == "number")) | sort_by(-.score)) as $scored
| ($candidates | map(select(.error != null))) as $failed
| ($scored | any(metric("test_accuracy") != null)) as $tested
| (setting("lineages") // "1" | tonumber? > 1) as $lineages
| ($candidates | map(proposer("model") | strings) | unique) as $models
| $record[0] as $trained
# A request has a line when it begins and, unless a kill came between, one with its cause when it ends.
| ($requests | map(select(.cause != null))) as $ended
| ($requests | map(.request) | unique | length) as $begun

# ---- Parts of the page ---------------------------------------------------------------------

| def fact($value; $what): "<div><b>\($value)</b><span>\($what)</span></div>";

def facts:
    "<div class=facts>"
    + if $scored == [] then "" else
        fact($scored[0].score | percent; "best score, %")
        + fact($scored[0] | metric("params") | millions(2); "its parameters, million")
        + if $tested then fact($scored[0] | metric("test_accuracy") | percent; "its test accuracy, % (table)")
          else "" end
      end
    + if $trained == null then "" else
        fact($trained | metric("test_accuracy") | percent; "test accuracy, %, of the trained network after its last epoch")
      end
    + fact($scored | length | count; "candidates scored")
    + fact($failed | length | count; "failed")
    + "</div>";

def section($title; $body): "<section><h2>\($title)</h2>\n\($body)\n</section>\n";
def paragraph: "<p>\(.)</p>";

# How many scored candidates came since the best did.
def stale: ($candidates | map(.score | numbers)) as $scores
    | reduce $scores[] as $score ({best: null, stale: 0};
        if .best == null or $score > .best then {best: $score, stale: 0} else .stale += 1 end) | .stale;
def how_far:
    ($starts + ([setting("lambda", "gamma") // "0" | tonumber? // 0] | add)) as $steps
    | (setting("patience") // "0" | tonumber? // 0) as $patience
    | "\($candidates | length | count) of \($steps | count) steps are done; "
    + if stale == 0 then "the last scored candidate is the best."
      else "the last \(stale | count) scored candidate\(if stale == 1 then "" else "s" end) brought no new best"
        + if $patience > 0 and stale >= $patience then ", which ended the search." else "." end end;

def search:
    section("Search"; if $search_svg == "" then "No candidate has a score yet." | paragraph
        else (how_far | paragraph) + ($search_svg | figure("search"; "score of each candidate, and the best so far")) end);

def drawing($svg; $rank):
    if $svg == "" then "" else
        $repository[$rank - 1] as $c
        | "<figure>" + ($svg | figure("cell\($rank)"; "cells of candidate \($c.id // "")"))
        + "<figcaption>\($rank). score \($c.score | percent) · \($c | metric("params") | millions(2)) M parameters · "
        + "<code>\($c.id // "" | html)</code></figcaption></figure>" end;

def cells:
    if $cell1 == "" then "" else
        section("Best cells"; "<div class=cells>" + drawing($cell1; 1) + drawing($cell2; 2) + drawing($cell3; 3) + "</div>")
    end;

def supernet_part:
    if setting("table") != null then
        section("Scores"; "From a table, column <code>\(setting("column") // "" | html)</code>; no supernet was trained." | paragraph)
    elif $supernet_svg == "" then
        section("Supernet"; "No epoch of the supernet is done yet." | paragraph)
    else section("Supernet"; ($supernet_svg | figure("supernet"; "accuracy of the supernet by epoch"))) end;

def network:
    section("Final network";
        if $network_svg == "" then "Not trained yet: <code>seki train</code> does it." | paragraph else
        if $trained == null then "Training is under way; the test set is looked at after the last epoch." | paragraph
        else "Candidate <code>\($trained.id // "" | html)</code>, trained from scratch for "
            + "\($trained | metric("epochs") | count) epochs: test accuracy <b>\($trained | metric("test_accuracy") | percent) %</b>, "
            + "test loss \($trained | metric("test_loss") | number(4)). The test set was looked at once, after the last epoch." | paragraph
        end + ($network_svg | figure("network"; "accuracy of the final network by epoch")) end);

def reasons:
    [("analysis", "strategy") as $what | proposer($what) | strings | "<dt>\($what)</dt><dd>\(html)</dd>"] as $words
    | "<details><summary><code>\(.id // "–" | html)</code></summary><dl>"
    + "<dt>genotype</dt><dd><code>\(.genotype // "–" | html)</code></dd>" + ($words | join(""))
    + if (.parents | type) == "array" and .parents != [] then
        "<dt>made from</dt><dd><code>\(.parents | map(tostring) | join(" ") | html)</code></dd>" else "" end
    + if .error != null then
        "<dt>error</dt><dd>\(if .error | type == "object" then .error.message else .error end | html)</dd>" else "" end
    + "</dl></details>";

def lineage_cell: (.lineage | if type == "number" then . + 1 | html else "–" end) | right;

def candidate_row($rank):
    row(($rank | tostring | right), (.score | percent | right),
        (if $tested then metric("test_accuracy") | percent | right else empty end),
        (metric("params") | millions(2) | right), (metric("macs") | millions(1) | right),
        (.step | html | right), (if $lineages then lineage_cell else empty end), (stage | cell), (reasons | cell));

def error_code: if .error | type == "object" then .error.code // "–" else "–" end;

def failed_row:
    row(("–" | right), (error_code | html | cell), (if $tested then "" | cell else empty end),
        ("" | cell), ("" | cell), (.step | html | right),
        (if $lineages then lineage_cell else empty end), (stage | cell), (reasons | cell));

def candidates_part:
    section("Candidates";
        "<p>Parameters and multiply-accumulates are those of the evaluation network.</p>"
        + "<div class=scroll><table><thead>"
        + row("<th class=n>rank</th>", "<th class=n>score, %</th>",
            (if $tested then "<th class=n>test, %</th>" else empty end),
            "<th class=n>params, M</th>", "<th class=n>MACs, M</th>", "<th class=n>step</th>",
            (if $lineages then "<th class=n>lineage</th>" else empty end), "<th>stage</th>", "<th>candidate</th>")
        + "</thead><tbody>\n"
        + ([range($scored | length) as $i | $scored[$i] | candidate_row($i + 1)] + ($failed | map(failed_row)) | join("\n"))
        + "</tbody></table></div>");

def failures:
    if $failed == [] then "" else
        section("Failures"; "<div class=scroll><table><thead>" + row("<th>error</th>", "<th class=n>candidates</th>")
            + "</thead><tbody>"
            + ($failed | group_by(error_code) | sort_by(-length)
                | map(row((.[0] | error_code | html | cell), (length | count | right))) | join(""))
            + "</tbody></table></div>")
    end;

# Nothing where no record has the number: what was not told is not 0.
def total(number): map(number | numbers) | if . == [] then null else add end;
def money: if type == "number" then fixed(if . < 10 then 4 else 2 end) else "–" end;

# What all requests came to, those that gave nothing too; gained: by how much the best is above the first.
def cost_facts:
    ($ended | total(.cost)) as $cost
    | ($candidates | map(.score | numbers)) as $scores
    | (if $scores == [] then 0 else ($scores | max) - $scores[0] end) as $gained
    | "<div class=facts>"
    + fact($begun | count; "requests")
    + fact($ended | map(select(.cause != "none")) | length | count; "of them failed")
    + fact($ended | total(.prompt_tokens) | count; "prompt tokens")
    + fact($ended | total(.cached_tokens) | count; "of them cached")
    + fact($ended | total(.completion_tokens) | count; "completion tokens")
    + fact($ended | total(.seconds) | number(1); "seconds of waiting for replies")
    + fact($cost | money; "cost")
    + fact(if $cost == null or $gained <= 0 then "–" else $cost / $gained | money end;
        "cost per point gained: the best score less the first")
    + "</div>"
    + ([($ended | map(select(.estimated == true)) | length | select(. > 0)
            | "of \(count) the endpoint did not tell the tokens, which are estimated"),
        ($begun - ($ended | map(.request) | unique | length) | select(. > 0)
            | "of \(count) nothing is known, since the search was ended meanwhile; they may have cost something too")]
        | if . == [] then "" else "Of these requests: \(join("; "))." | paragraph end);

def tokens_row($title):
    row(($title | cell), (length | count | right), (total(proposer("attempts")) | count | right),
        (total(proposer("prompt_tokens")) | count | right), (total(proposer("completion_tokens")) | count | right),
        (total(proposer("seconds")) | number(1) | right), (total(proposer("cost")) | money | right));
def tokens:
    ($candidates | map(select(proposer("attempts") != null))) as $asked
    | if $asked == [] and $requests == [] then "" else
        section("Tokens and cost"; if $requests == [] then "" else cost_facts end
            + if $asked == [] then "" else
            "<div class=scroll><table><thead>"
            + row("<th>stage</th>", "<th class=n>candidates</th>", "<th class=n>requests</th>",
                "<th class=n>prompt tokens</th>", "<th class=n>completion tokens</th>", "<th class=n>seconds</th>",
                "<th class=n>cost</th>")
            + "</thead><tbody>"
            + ($asked | group_by(stage) | map(.[0] as $first | tokens_row($first | stage)) | join(""))
            + "</tbody><tfoot>" + ($asked | tokens_row("in all")) + "</tfoot></table></div>" end)
    end;

def settings_rows: settings | map(row((.name | html | cell), ("<code>\(.value | html)</code>" | cell))) | join("");
def settings_part:
    section("Settings"; "<div class=scroll><table><tbody>" + ($settings | settings_rows) + "</tbody></table></div>"
        + if $final == "" then "" else
            "<h3>Of the final network's training</h3><div class=scroll><table><tbody>" + ($final | settings_rows) + "</tbody></table></div>"
          end);

def style: "
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #63636a; --line: #d9d9de; --paper: #fff; --figure: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e9; --soft: #a0a0a8; --line: #3a3a40; --paper: #17171a; --figure: #f4f4f6 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 54rem; padding: 2rem 1.1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .7rem }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem }
p { margin: .4rem 0 .8rem }
header p, figcaption, footer, .facts span, dt { color: var(--soft) }
figcaption, footer, table, dl { font-size: .875rem }
code { font-family: ui-monospace, monospace; font-size: .92em }
.facts { display: flex; flex-wrap: wrap; gap: 1rem 2.4rem; margin: 1.4rem 0 0 }
.facts div { max-width: 13rem }
.facts b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums }
.facts span { display: block; font-size: .8rem; line-height: 1.3 }
.figure { background: var(--figure); color: #000; border-radius: .4rem; overflow-x: auto }
.figure svg { display: block; min-width: 28rem; max-width: 100%; height: auto; margin: 0 auto }
figure { margin: 0 0 1.6rem }
figcaption { margin-top: .3rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 600; white-space: nowrap }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tfoot td { font-weight: 600 }
summary { cursor: pointer; white-space: nowrap }
dl { margin: .5rem 0; min-width: 16rem; max-width: 34rem }
dd { margin: 0 0 .5rem; white-space: pre-wrap; overflow-wrap: anywhere }
footer { margin-top: 3rem }
";

# ---- The page ------------------------------------------------------------------------------

"<!DOCTYPE html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<title>\($name | html) – architecture search</title>
<style>\(style)</style>
</head>
<body>
<header>
<h1>\($name | html)</h1>
<p>Architecture search in <code>\(setting("space") // "–" | html)</code>, policy <code>\(setting("policy") // "–" | html)</code>"
+ (if $models == [] then "" else ", model " + ($models | map("<code>\(html)</code>") | join(", ")) end)
+ ", seed <code>\(setting("seed") // "–" | html)</code></p>
\(facts)
</header>
\(search)\(cells)\(supernet_part)\(network)\(candidates_part)\(failures)\(tokens)\(settings_part)<footer>Made by seki \($version | html).</footer>
</body>
</html>"
