-- All times are nanoseconds since the Unix epoch.

-- With a rowid: rows are too large for the pages of an index. At 200,000 users it is read a fifth
-- faster and filled twice as fast as without.
create table sessions (
    user text primary key not null,
    id blob not null,
    issued_at integer not null,
    expires_at integer not null,
    -- The change that told of it, by which it is known which came first.
    seq integer not null,
    -- The whole record, in the form of `Session::to_exposed_bytes`, with the token in it.
    body blob not null
) strict;
create index sessions_by_end on sessions (expires_at);

create table challenges (
    user text primary key not null,
    revision integer not null,
    keep_until integer not null,
    body text not null
) strict;
create index challenges_by_end on challenges (keep_until);

create table quotas (
    key text primary key not null,
    -- When each use falls out of the window: 8 bytes each, little-endian.
    ends blob not null,
    keep_until integer not null
) strict, without rowid;
create index quotas_by_end on quotas (keep_until);

create table leases (
    user text primary key not null,
    holder blob not null,
    -- Why the person is not to be asked; null while it is a lease.
    declined integer,
    until integer not null,
    -- What it was taken for, so that a clock that was set back does not make it last.
    time integer not null
) strict, without rowid;
create index leases_by_end on leases (until);

-- The change feed. The last row always stays, so that numbers only go up and leave none out.
-- A user and an id: saved. A user: removed. Neither: everything is in doubt.
create table changes (
    seq integer primary key not null,
    user text,
    id blob
) strict;
