//! What carries requests: in-memory streams, unix sockets and TCP ports, with faults on demand.
