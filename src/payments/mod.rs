//! Money: the credit ledger. Nothing outside `ledger` writes a balance.

pub mod ledger;
