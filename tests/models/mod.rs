//! Rules that span many orders of events: the ledger and the job states, as properties.

mod job_items;
mod jobs;
mod ledger;
mod migrations;
mod transactions;
