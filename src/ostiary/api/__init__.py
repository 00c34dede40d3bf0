"""The REST API, `/api/v1`: a face of the use-cases in `control`, on its own listener, with nothing decided here.

`app` puts it together, `guard` bounds every request, `problems` is how each error is told (RFC 9457), `routes/` has a
router for each kind of resource.
"""
