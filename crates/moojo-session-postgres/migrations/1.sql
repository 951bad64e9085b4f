-- Version 1: sessions, logins under way, quotas and leases.
--
-- In each table `keep_until` is the time by the server's clock up to which a row has to be kept;
-- after it any process deletes it. Text is compared byte by byte (collation C).

-- Each user's session. `body` is the whole record, in the form of `Session::to_exposed_bytes`, with
-- the token in it.
create table {schema}.sessions (
    user_id    text collate "C" primary key,
    session_id bytea not null check (length(session_id) = 16),
    expires_at timestamptz not null,
    saved_at   timestamptz not null,
    keep_until timestamptz not null,
    body       bytea not null
);
create index sessions_keep_until on {schema}.sessions (keep_until);

-- Each user's login under way, as JSON. A phone number is in `body`.
create table {schema}.challenges (
    user_id    text collate "C" primary key,
    revision   bigint not null,
    keep_until timestamptz not null,
    body       text not null
);
create index challenges_keep_until on {schema}.challenges (keep_until);

-- The uses of each quota: when each falls out of the window, in nanoseconds since 1970 by the
-- callers' clocks. `granted` is what the last caller was told. A phone number may be in `key`.
create table {schema}.quotas (
    key        text collate "C" primary key,
    ends       bigint[] not null,
    granted    boolean not null,
    keep_until timestamptz not null
);
create index quotas_keep_until on {schema}.quotas (keep_until);

-- Who takes care of each user who has to log in, or, with a `declined`, why nobody is to. It is
-- over at `keep_until`.
create table {schema}.leases (
    user_id    text collate "C" primary key,
    holder     bytea not null check (length(holder) = 16),
    declined   smallint,
    keep_until timestamptz not null
);
create index leases_keep_until on {schema}.leases (keep_until);
