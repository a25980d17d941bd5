-- Calls in progress of all nodes, a row for each identifier by which an answer finds them. A row goes with its call.
CREATE TABLE live_calls (
    name TEXT    NOT NULL, -- keyed hash of an identifier; empty: the call by its id alone
    call TEXT    NOT NULL,
    node INTEGER NOT NULL, -- nodes.number
    PRIMARY KEY (name, call)
) STRICT;
CREATE INDEX live_calls_of_call ON live_calls (call);
CREATE INDEX live_calls_of_node ON live_calls (node, name);
