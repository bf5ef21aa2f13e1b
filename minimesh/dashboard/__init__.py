"""The page that shows the mesh: what is asked of it, what it answers, and what it tells as it happens.

`server` owns paths and security, `events` the stream; each other module one thing that the page shows. The
page itself is `static/`: no build step, nothing from elsewhere.
"""
