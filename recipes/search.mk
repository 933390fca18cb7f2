# A search as rules of make: what is there is not made again, and what was ended goes on.
#
#     make -f recipes/search.mk DATA=/usr/share/datasets/fashion-mnist RUN=run
#     make -f recipes/search.mk DATA=… RUN=run SEEDS='0 1 2' -j 3 all-seeds
#
# Needs the programs in PATH, and OPENAI_BASE_URL and SEKI_MODEL where POLICY is llm.

RUN    ?= run
DATA   ?= /usr/share/datasets/fashion-mnist
POLICY ?= llm
SEARCH ?= --lambda 30 --gamma 20
TRAIN  ?=
SEEDS  ?= 0

.DELETE_ON_ERROR:
.PHONY: search train report all-seeds FORCE
# A folder of a run is kept, whatever happens: it goes on from there.
.PRECIOUS: %/repository.jsonl %/final/record.jsonl

report: $(RUN)/report.html
train: $(RUN)/final/record.jsonl
search: $(RUN)/repository.jsonl
all-seeds: $(SEEDS:%=$(RUN)-%/report.html)

# The run's folder ends in its seed where SEEDS are searched; else the seed is 0.
seed = $(or $(filter $(SEEDS),$(lastword $(subst -, ,$*))),0)

# A finished search changes nothing, so that this may be asked each time.
%/repository.jsonl: FORCE
	seki search $* --data $(DATA) --policy $(POLICY) --seed $(seed) $(SEARCH)

%/final/record.jsonl: %/repository.jsonl
	seki train $* $(TRAIN)

%/report.html: %/final/record.jsonl
	seki report $*
