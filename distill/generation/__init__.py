"""generate: a model writes answers, and none that landed is ever lost or paid for twice.

endpoint.py  where a model is served: a URL from the environment, or a vLLM of our own
server.py    that vLLM: started, watched, restarted, stopped
guard.py     the small process between a stage and its server, so that neither outlives the other
plan.py      which samples of a problem are asked for next, and when it has had enough
request.py   what is asked, and the key by which its answer is known again
cache.py     every answer on disk before anything parses it
upkeep.py    that cache as a whole: what it holds, fewer files, answers from elsewhere
client.py    one HTTP request, and what each way of failing means
upstream.py  the servers during a run: the least busy is asked, one that dies is brought back
dispatch.py  many requests at once, each until it is settled
rows.py      answers as traces
stats.py     what a run measured
view.py      what it shows meanwhile
sampler.py   every problem's course, from the cache or else from the model; traces in the order of their ids
"""
