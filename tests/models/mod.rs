//! Rules that span many orders of events: the ledger and the job states, as properties.

mod job_changes;
mod job_items;
mod job_totals;
mod jobs;
mod ledger;
mod migrations;
mod transactions;
