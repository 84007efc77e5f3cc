-- The least an announced write can cost: one insert and one notification, committed together.
begin;
insert into bench.writes (payload) values (repeat('x', 100));
select pg_notify('bench', 'written');
commit;
