#!/usr/bin/env python3
"""A chat completions endpoint on loopback that behaves as it is told.

    endpoint.py PORT_FILE LOG STEP ...

Binds a free port of 127.0.0.1, writes its number into PORT_FILE (whole, by renaming), and answers the
n-th request by the n-th STEP, the last one for all that follow. Each request is a JSON line in LOG as it
comes: `at` in seconds, `open` requests under way with this one; and one in LOG.replies when its reply is
out. The methods step_NAME of Reply are the steps; some take an argument after a colon, as 429:2. Requests
below /NAME/STEP,STEP…/ are counted, and answered, apart from the others.
"""
import email.utils
import http.server
import json
import os
import random
import socket
import struct
import sys
import threading
import time

NAS201_EDGES = ("from_0_to_1", "from_0_to_2", "from_1_to_2", "from_0_to_3", "from_1_to_3", "from_2_to_3")
NAS201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
DARTS_OPS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
             "dil_conv_3x3", "dil_conv_5x5")
FAULTS = ("status:500", "429", "reset", "malformedbody", "malformed", "empty")


def nas201_text(cell):
    ops = [cell[edge] for edge in NAS201_EDGES]
    return "|%s~0|+|%s~0|%s~1|+|%s~0|%s~1|%s~2|" % tuple(ops)


def darts(draw):
    def node(i):
        a, b = sorted(draw.sample(range(i), 2))
        return {"inputs": "%d,%d" % (a, b), "op_1": draw.choice(DARTS_OPS), "op_2": draw.choice(DARTS_OPS)}

    return {cell: {"node_%d" % i: node(i) for i in range(2, 6)} for cell in ("normal", "reduce")}


def darts_text(cells):
    def pairs(cell):
        for node in cell.values():
            inputs = node["inputs"].split(",")
            yield "('%s', %s)" % (node["op_1"], inputs[0])
            yield "('%s', %s)" % (node["op_2"], inputs[1])

    parts = ("%s=[%s], %s_concat=[2, 3, 4, 5]" % (name, ", ".join(pairs(cell)), name)
             for name, cell in cells.items())
    return "Genotype(%s)" % ", ".join(parts)


class Reply:
    """What a step does with one request."""

    def __init__(self, handler, request, number):
        self.handler = handler
        self.request = request
        self.number = number
        self.ended = False
        self.argument = ""
        self.draw = random.Random(number)
        self.nas201_ops = NAS201_OPS
        prompt = json.dumps(request.get("messages", ""))
        self.is_nas201 = "nor_conv_3x3" in prompt
        self.as_json = "response_format" in request

    def take(self, step):
        name, _, self.argument = step.partition(":")
        getattr(self, "step_" + name)()

    # ---- Replies that are chat completions

    def architecture(self, draw=None):
        draw = draw or self.draw
        if self.is_nas201:
            return {edge: draw.choice(self.nas201_ops) for edge in NAS201_EDGES}
        return darts(draw)

    def notation(self, draw=None):
        return (nas201_text if self.is_nas201 else darts_text)(self.architecture(draw))

    def content(self, draw=None):
        if self.as_json:
            return json.dumps({"analysis": "Too few parameters.", "strategy": "Add convolutions.",
                               "genotype": self.architecture(draw)})
        return "Analysis: Too few parameters.\nStrategy: Add convolutions.\nArchitecture: " + self.notation(draw)

    def body(self, content, finish="stop", usage=(100, 10), details=None, **message):
        body = {"id": "chatcmpl-0", "object": "chat.completion",
                "choices": [{"index": 0, "finish_reason": finish,
                             "message": {"role": "assistant", "content": content, **message}}]}
        if usage:
            body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1],
                             "total_tokens": sum(usage), **(details or {})}
        return json.dumps(body)

    def complete(self, content, **choice):
        self.send(200, self.body(content, **choice))

    def end(self):
        """The request is no longer under way: before its reply is whole, or the next could come first."""
        if not self.ended:
            self.ended = True
            server = self.handler.server
            with server.lock:
                server.open -= 1
                server.write(server.log + ".replies", {"at": time.monotonic(), "number": self.number})

    def send(self, status, body, content_type="application/json", **headers):
        body = body if isinstance(body, bytes) else body.encode()
        handler = self.handler
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        self.end()
        handler.wfile.write(body)

    def fail(self, status, message, **headers):
        self.send(status, json.dumps({"error": {"message": message, "type": "error"}}), **headers)

    def step_fine(self):
        self.complete(self.content())

    def step_same(self):
        self.complete(self.content(random.Random("same")))

    def step_obey(self):
        """Drawn among all that the request's schema admits."""
        def instance(schema):
            if schema["type"] == "object":
                return {name: instance(member) for name, member in schema["properties"].items()}
            return self.draw.choice(schema.get("enum", ["Some words."]))

        schema = self.request["response_format"]["json_schema"]["schema"]
        self.complete(json.dumps(instance(schema)))

    def step_nousage(self):
        self.complete(self.content(), usage=None)

    def step_usage(self):
        """PROMPT,COMPLETION tokens, CACHED of them as OpenAI says it, HIT as DeepSeek does, TOTAL."""
        prompt, completion, cached, hit, total = (self.argument.split(",") + ["", "", ""])[:5]
        details = {"prompt_tokens_details": {"cached_tokens": int(cached)}} if cached else {}
        if hit:
            details["prompt_cache_hit_tokens"] = int(hit)
        if total:
            details["total_tokens"] = int(total)
        self.complete(self.content(), usage=(int(prompt), int(completion)), details=details)

    def step_slow(self):
        time.sleep(float(self.argument))
        self.step_fine()

    def step_late(self):
        """WORD=SECONDS … STEP: as STEP, after so long where the question has WORD."""
        *delays, step = self.argument.split()
        for word, seconds in (delay.split("=") for delay in delays):
            if word in self.request["messages"][1]["content"]:
                time.sleep(float(seconds))
        self.take(step)

    def step_limit(self):
        """requests or tokens,LEFT,RESET: a reply that tells its limits. RESET epoch+S or epochms+S is a
        point in time."""
        what, left, reset = self.argument.split(",")
        unit, plus, seconds = reset.partition("+")
        if plus:
            at = time.time() + float(seconds)
            reset = str(int(at * 1000) if unit == "epochms" else int(at))
        self.send(200, self.body(self.content()), **{"x_ratelimit_remaining_" + what: left,
                                                     "x_ratelimit_reset_" + what: reset})

    def step_plain(self):
        self.send(200, self.body(self.content()), self.argument or "text/plain")

    def step_say(self):
        self.complete(self.argument)

    def step_think(self):
        wrong = self.notation(random.Random("wrong"))
        self.complete("<think>Perhaps %s? No.</think>\n%s" % (wrong, self.content()))

    def step_fence(self):
        self.complete("Here it is:\n```json\n%s\n```\nI hope that it helps." % self.content())

    def step_smart(self):
        text = self.notation().replace("'", "\u2019").replace(", ", ",\u00a0").replace("_", "\\_")
        self.complete("**Analysis:** Shallow.\n\n**Strategy:** Go deeper.\n\n**Architecture:**\n" + text)

    def step_malformed(self):
        self.complete('{"analysis": "Fine so far", "genotype": {"normal": ')

    def step_badop(self):
        self.complete(self.content().replace("conv_3x3", "conv_9x9").replace("pool_3x3", "conv_9x9"))

    def step_empty(self):
        self.complete("")

    def step_null(self):
        self.complete(None, reasoning_content="I think that")

    def step_nochoices(self):
        self.send(200, '{"choices": []}')

    def step_truncated(self):
        self.complete(self.content()[:80], finish="length")

    def step_refusal(self):
        self.complete(None, refusal="I cannot help with that.")

    def step_filter(self):
        self.complete("", finish="content_filter")

    # ---- Failures with a status

    def step_status(self):
        self.fail(int(self.argument), "told to")

    def step_429(self):
        wait = self.argument
        if wait == "date":
            wait = email.utils.formatdate(time.time() + 2, usegmt=True)
        self.fail(429, "slow down", **({"Retry_After": wait} if wait else {}))

    def step_quota(self):
        self.send(429, json.dumps({"error": {"message": "pay first", "code": "insufficient_quota"}}))

    def step_errorobject(self):
        self.fail(200, "the model is loading")

    def step_html(self):
        self.send(int(self.argument or 200), "<!DOCTYPE html><title>Welcome</title>", "text/html")

    def step_echo(self):
        """The key comes back: in the reply's body, a header and, with 200, what the model says."""
        words = "wrong key: " + self.handler.headers.get("Authorization", "")
        status = int(self.argument or 401)
        if status == 200:
            self.complete(words, reasoning_content=words)
        else:
            self.fail(status, words, X_Request_Id=words)

    def step_redirect(self):
        self.send(307, "", Location="http://%s/v1/chat/completions" % self.argument)

    def step_refuse(self):
        """Refuses the part of the request that the argument names, while it is there."""
        if self.argument in json.dumps(self.request):
            advice = "max_completion_tokens" if self.argument == "max_tokens" else "nothing"
            self.fail(400, "Unsupported parameter: '%s'; use %s instead" % (self.argument, advice))
        else:
            self.step_fine()

    # ---- Broken transfers and bodies

    def step_malformedbody(self):
        self.send(200, '{"choices": [{"message": {"content": "')

    def step_badutf8(self):
        self.send(200, b'{"choices": [{"message": {"content": "\xff\xfe"}}]}')

    def step_deep(self):
        self.send(200, '{"choices":' + "[" * 100000)

    def step_huge(self):
        self.send(200, '{"choices": "' + "x" * (50 << 20))

    def step_drop(self):
        """Ends in the middle of the body."""
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", "application/json")
        self.handler.send_header("Content-Length", "1000")
        self.handler.end_headers()
        self.handler.wfile.write(b'{"choices": [')
        self.handler.close_connection = True

    def step_reset(self):
        """Resets the connection before a byte is sent."""
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handler.connection.close()
        self.handler.close_connection = True

    def step_garbage(self):
        self.handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        self.handler.close_connection = True

    def step_stall(self):
        time.sleep(float(self.argument or 30))
        self.handler.close_connection = True

    def begin(self):
        self.handler.send_response(200)
        self.handler.send_header("Content-Length", "100000")
        self.handler.end_headers()

    def step_trickle(self):
        """A byte, and the next after so many seconds."""
        self.begin()
        for _ in range(600):
            self.handler.wfile.write(b" ")
            self.handler.wfile.flush()
            time.sleep(float(self.argument or 0.05))
        self.handler.close_connection = True

    def step_pause(self):
        """Begins, and says no more."""
        self.begin()
        self.handler.wfile.write(b'{"choices": [')
        self.handler.wfile.flush()
        self.step_stall()

    # ---- Mixtures

    def step_flaky(self):
        """Of each 10 requests exactly PERCENT / 10 fail, which ones and how drawn with a fixed seed; good
        replies have no edge of `none`, with which many cells compute the same."""
        ten = random.Random("flaky %d" % (self.number // 10))
        fails = ten.sample(range(10), int(self.argument) // 10)
        faults = [ten.choice(FAULTS) for _ in range(10)]
        self.nas201_ops = NAS201_OPS[1:]
        self.take(faults[self.number % 10] if self.number % 10 in fails else "fine")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = json.loads(text)
        part = self.path.split("/v1/")[0]
        steps = part.split("/")[2].split(",") if part.count("/") == 2 else server.steps
        with server.lock:
            number = server.requests.get(part, 0)
            server.requests[part] = number + 1
            server.open += 1
            server.write(server.log, {"at": time.monotonic(), "open": server.open, "path": self.path,
                                      "authorization": self.headers.get("Authorization"), "body": request})
        reply = Reply(self, request, number)
        try:
            reply.take(steps[min(number, len(steps) - 1)])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        reply.end()

    do_GET = do_POST

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def write(self, path, line):
        with open(path, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    port_file, log, *steps = sys.argv[1:]
    for step in steps:
        if not hasattr(Reply, "step_" + step.partition(":")[0]):
            sys.exit("endpoint.py: no step is called " + step)
    server = Server(("127.0.0.1", 0), Handler)
    server.log, server.steps, server.requests, server.open = log, steps, {}, 0
    server.lock = threading.Lock()
    with open(port_file + ".new", "w", encoding="ascii") as out:
        out.write(str(server.server_address[1]))
    os.rename(port_file + ".new", port_file)
    server.serve_forever()


main()
