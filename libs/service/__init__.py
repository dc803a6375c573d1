"""What every service does the same. Its rooms, by what one comes for:

To be a service
    settings       the environment, or files it names
    rights         what each role may do in a service's database
    run            the application with everything below around it; start, serve, stop
    publishing     its database and the relay of its events, from start to stop
    background     loops beside the requests
    health         /healthz, /readyz, /metrics
    migrate        its schema: `python -m libs.service.migrate <service>`
To let somebody in
    access         the one table: operation, roles, scope of each
    scopes         whose a thing is, and to whom that shows it
    caller         who calls: subject, roles, forces, site
    tokens         bearer tokens, verified
    trace, seal    who looked at whose data: written before the answer goes out
    issuer         the issuer's keys, kept through its outages
To be asked and to answer
    bodies         the base of every request's and answer's body; words, names, ids
    shapes         places in a request
    idempotency    a request that is sent again happens once
    upload         a request's body that is a file
    cursors        where a page ended
    at             the moment that is asked about
    query          unknown query parameters are refused
    problem        errors, the whole tree (RFC 9457)
    refusals       every exception as its problem
    parked         what readers could not apply: shown, tried again
    openapi, docs  the documents, and the page that shows them
To withstand and to be watched
    wire, limits   what a request may be: on the socket, in the application
    rates          how much one client may ask; emergencies pass
    deadline       how long a request may take
    abreast        many requests at once, through one part of the work after the other
    observe        around every request: id, trace, headers, log line, metrics
    context        the request being served
    logs           JSON lines without personal data
    metrics        every metric here, with its meaning
"""
