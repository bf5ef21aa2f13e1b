"""Which object decided this request, and why not the others.

    question     what is asked: one request, and where it comes in
    world        the mesh: documents, what they mean, pods and proxies; from files or from a running mesh
    rehearsal    the request at the proxies' own code in memory (tables, pipe, virtual_time, observation)
    explaining   `explain`: the steps (entry, routing_steps, upstream_steps) and the verdict
    causes/      why it failed, what surprises, and the change that would mend it
    ladder       the answer and its JSON; text for terminals
    past         requests that have happened, found in the access logs

Nothing here decides how a request is routed: that is asked of the proxy's own compiled tables.
"""
