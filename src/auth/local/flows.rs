//! Sign-ins that end in another tab: codes for those who can show the verifier of their challenge, and
//! the way to Google and back.

use sea_orm::{DatabaseTransaction, prelude::Uuid};

use super::{Back, LocalAccounts, Session};
use crate::{
    auth::{
        AuthError,
        google::GoogleAccount,
        pkce::Challenge,
        random::{digest, random_token},
    },
    models::{
        auth_flows::{self, Flow, NewFlow},
        begin,
    },
};

/// Seconds a code is good (GoTrue's default).
const CODE_TTL_S: i64 = 300;
/// Seconds somebody may take at Google.
const STATE_TTL_S: i64 = 900;

/// What a proven person is handed.
#[derive(Debug)]
pub enum Arrived {
    /// A code that whoever began the sign-in exchanges.
    Code(String),
    /// Tokens, where the sign-in began without a challenge.
    Session(Box<Session>),
}

impl LocalAccounts {
    /// Exchanges a code for a session. A code is gone with its use; a wrong verifier does not use it.
    ///
    /// # Errors
    /// [`AuthError::FlowNotFound`], [`AuthError::FlowExpired`], [`AuthError::BadVerifier`].
    pub async fn exchange_code(&self, code: &str, verifier: &str) -> Result<Session, AuthError> {
        let txn = begin(&self.db).await?;
        let flow = auth_flows::Entity::take_by_code(&txn, &digest(code))
            .await?
            .ok_or(AuthError::FlowNotFound)?;
        // Leaving without a commit puts the code back: whoever can show the verifier still may.
        if flow.is_expired {
            return Err(AuthError::FlowExpired);
        }
        if !challenge_of(&flow)?.is_some_and(|challenge| challenge.is_met_by(verifier)) {
            return Err(AuthError::BadVerifier);
        }
        let user_id = flow.user_id.ok_or(AuthError::FlowNotFound)?;
        let session = self.open_session(&txn, user_id, &flow.method).await?;
        txn.commit().await?;
        Ok(session)
    }

    /// Begins a sign-in at Google; gives the state that has to come back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_flow(&self, back: &Back) -> Result<String, AuthError> {
        let state = random_token()?;
        let redirect_to = self.redirects.or_frontend(back.redirect_to.as_deref());
        auth_flows::Entity::begin(
            &self.db,
            &NewFlow {
                state_hash: &digest(&state),
                redirect_to: &redirect_to,
                challenge: back
                    .challenge
                    .as_ref()
                    .map(|challenge| (challenge.value.as_str(), challenge.method.as_str())),
            },
            STATE_TTL_S,
        )
        .await?;
        Ok(state)
    }

    /// Takes up what began with this state; it can come back once.
    ///
    /// # Errors
    /// [`AuthError::FlowNotFound`], [`AuthError::FlowExpired`].
    pub async fn take_flow(&self, state: &str) -> Result<Back, AuthError> {
        let flow = auth_flows::Entity::take_by_state(&self.db, &digest(state))
            .await?
            .ok_or(AuthError::FlowNotFound)?;
        if flow.is_expired {
            return Err(AuthError::FlowExpired);
        }
        Ok(Back {
            challenge: challenge_of(&flow)?,
            redirect_to: flow.redirect_to,
        })
    }

    /// Ends a sign-in at Google with the account that Google vouches for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_flow(
        &self,
        back: &Back,
        google: &GoogleAccount,
    ) -> Result<Arrived, AuthError> {
        let txn = begin(&self.db).await?;
        let user_id = self.arrive_by_google(&txn, google).await?;
        let arrived = self
            .arrived(&txn, user_id, "oauth", back.challenge.as_ref())
            .await?;
        txn.commit().await?;
        self.carrier.inside().committed();
        Ok(arrived)
    }

    /// A code where there is a challenge, else a session.
    pub(super) async fn arrived(
        &self,
        txn: &DatabaseTransaction,
        user_id: Uuid,
        method: &str,
        challenge: Option<&Challenge>,
    ) -> Result<Arrived, AuthError> {
        let Some(challenge) = challenge else {
            let session = self.open_session(txn, user_id, method).await?;
            return Ok(Arrived::Session(Box::new(session)));
        };
        let code = random_token()?;
        let pair = (challenge.value.as_str(), challenge.method.as_str());
        auth_flows::Entity::add_code(txn, &digest(&code), user_id, method, pair, CODE_TTL_S)
            .await?;
        Ok(Arrived::Code(code))
    }
}

fn challenge_of(flow: &Flow) -> Result<Option<Challenge>, AuthError> {
    Challenge::read(
        flow.code_challenge.as_deref(),
        flow.code_challenge_method.as_deref(),
    )
    .map_err(|_| AuthError::FlowNotFound)
}
