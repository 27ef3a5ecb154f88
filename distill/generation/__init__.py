"""generate: a model writes answers, and none that landed is ever lost or paid for twice.

endpoint.py  where a model is served: a URL from the environment, or a vLLM of our own
server.py    that vLLM: started, watched, restarted, stopped
guard.py     the small process between a stage and its server, so that neither outlives the other
request.py   what is asked, and the key by which its answer is known again
cache.py     every answer on disk before anything parses it
client.py    one HTTP request, and what each way of failing means
sampler.py   all requests of a run at once; its traces in the order of their ids
"""
