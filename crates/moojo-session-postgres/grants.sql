-- All that the processes need, where another user owns the schema and calls `migrate`. To be run by
-- that user, after `migrate` and again after each version of this crate that adds a table.
grant connect on database moojo to moojo_server;
grant usage on schema moojo to moojo_server;
grant select, insert, update, delete
    on moojo.sessions, moojo.challenges, moojo.quotas, moojo.leases to moojo_server;
-- Only for processes that call `migrate` themselves, and are to find that there is nothing to do.
grant select on moojo.migrations to moojo_server;
