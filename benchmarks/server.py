"""A model server that only waits: every chat request is answered after a delay with a chain of a given length.

python benchmarks/server.py --port 8123 --delay 2 --kilobytes 30
"""

import argparse
import asyncio
import json

from aiohttp import web


def reply(kilobytes: float) -> bytes:
    """The JSON of one chat completion."""
    content = "<think>\n" + "So 12 + 7 = 19, check. " * int(kilobytes * 1000 / 23) + "\n</think>\n\n\\boxed{19}"
    message = {"role": "assistant", "content": content}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "teacher",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 9000, "total_tokens": 9040},
        }
    ).encode()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=2.0)
    parser.add_argument("--kilobytes", type=float, default=30.0)
    args = parser.parse_args()
    body = reply(args.kilobytes)

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(args.delay)
        return web.Response(body=body, content_type="application/json")

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "teacher", "object": "model"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)
    web.run_app(app, host="127.0.0.1", port=args.port, print=None, backlog=4096)


if __name__ == "__main__":
    main()
