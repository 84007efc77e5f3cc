-- The least a read can cost: one row by its primary key.
\set id random(1, :rows)
select payload from bench.reads where id = :id;
