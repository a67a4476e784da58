"""The service over HTTP: our own API, and (in `openai/`) that of OpenAI's clients.

serve        from settings to a listening process, and to its orderly end
app          all of it put together
service      what the handlers share
gate         who may come in, and for what
limits       how much is taken
crowd        who begins when many come at once
connections  who says nothing, or says it too slowly
problems     errors as clients get them
live         what happens in runs, on its way to clients
hooks        signed requests that start workflows
metrics      numbers for Prometheus
api/         our own API
openai/      the one that all clients of models speak
"""
