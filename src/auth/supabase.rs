//! A Supabase project as identity provider. Nothing of a user is kept in this process.

mod client;

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use sea_orm::prelude::Uuid;
use serde_json::{Map, Value, json};

use self::client::{By, Call, CallError, Client, Refusal, with_security, without_exchange};
use super::{
    AuthError,
    identity::{Identity, Keeper, ProviderAccount, Sighting, SignedIn, SignedUp},
    tokens::Claims,
};
use crate::{net::NetError, settings::Settings};

/// Codes that mean: this address has an account.
const TAKEN: [&str; 2] = ["user_already_exists", "email_exists"];
/// Texts of a known defect of the provider's look-up with users made by hand (platform contract 4.6).
const NULL_DEFECT: [&str; 2] = ["email_change", "converting NULL to string"];

/// The provider over GoTrue's REST interface.
pub struct Supabase {
    client: Client,
    /// Where mailed links lead to.
    frontend_url: String,
}

impl Supabase {
    /// The project that the settings name; `None` when they name none.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(settings: &Settings, user_agent: &str) -> Result<Option<Self>, NetError> {
        let client = Client::new(settings, user_agent)?;
        Ok(client.map(|client| Self {
            client,
            frontend_url: settings.http.frontend_url.trim_end_matches('/').to_owned(),
        }))
    }

    async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        by: By<'_>,
        body: Value,
    ) -> Result<Value, CallError> {
        let call = Call {
            method: Method::POST,
            path,
            query,
            by,
            body: Some(body),
        };
        self.client.send(call).await
    }

    fn callback(&self) -> String {
        format!("{}/auth/callback", self.frontend_url)
    }

    async fn set_password(&self, token: &str, password: &str) -> Result<(), CallError> {
        let call = Call {
            method: Method::PUT,
            path: "user",
            query: &[],
            by: By::User(token),
            body: Some(json!({"password": password})),
        };
        self.client.send(call).await.map(|_| ())
    }

    /// The provider's own description of a user.
    async fn describe(&self, token: &str, id: Uuid) -> Result<Value, CallError> {
        let path = format!("admin/users/{id}");
        let (path, by) = if self.client.has_service_key() {
            (path.as_str(), By::Service)
        } else {
            ("user", By::User(token))
        };
        let call = Call {
            method: Method::GET,
            path,
            query: &[],
            by,
            body: None,
        };
        self.client.send(call).await
    }
}

#[async_trait]
impl Identity for Supabase {
    fn keeper(&self) -> Keeper {
        Keeper::Supabase
    }

    async fn sign_up(
        &self,
        email: &str,
        password: &str,
        display_name: Option<&str>,
    ) -> Result<SignedUp, AuthError> {
        let body = json!({"email": email, "password": password, "data": data(display_name)});
        let body = without_exchange(body);
        let query = [("redirect_to", &*self.callback())];
        let answer = self.post("signup", &query, By::Anybody, body).await;
        let answer = answer.map_err(|error| match error {
            CallError::Refused(refusal) if is_taken(&refusal) => AuthError::EmailTaken,
            other => other.into(),
        })?;
        let has_session = answer.get("access_token").is_some_and(Value::is_string);
        Ok(if has_session {
            SignedUp::Ready
        } else {
            SignedUp::Unconfirmed
        })
    }

    async fn send_magic_link(
        &self,
        email: &str,
        display_name: Option<&str>,
    ) -> Result<(), AuthError> {
        let body = json!({"email": email, "data": data(display_name), "create_user": true});
        let query = [("redirect_to", &*self.callback())];
        self.post("otp", &query, By::Anybody, without_exchange(body))
            .await?;
        Ok(())
    }

    async fn log_in(&self, email: &str, password: &str) -> Result<SignedIn, AuthError> {
        let body = with_security(json!({"email": email, "password": password}));
        let query = [("grant_type", "password")];
        let answer = self.post("token", &query, By::Anybody, body).await;
        let answer = answer.map_err(|error| match error {
            CallError::Refused(refusal) if is_wrong_password(&refusal) => {
                AuthError::InvalidCredentials
            }
            CallError::Refused(refusal) if refusal.code == "email_not_confirmed" => {
                AuthError::EmailNotConfirmed
            }
            other => other.into(),
        })?;
        signed_in(answer)
    }

    async fn send_recovery(&self, email: &str) -> Result<(), AuthError> {
        let redirect = format!("{}/auth/reset-password", self.frontend_url);
        let query = [("redirect_to", redirect.as_str())];
        let body = without_exchange(json!({"email": email}));
        match self.post("recover", &query, By::Anybody, body).await {
            Ok(_) => Ok(()),
            // Whatever the provider says of an address would tell whether it has an account.
            Err(CallError::Refused(refusal)) => {
                tracing::info!(code = refusal.code, "the provider sent no recovery mail");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn reset_password(&self, token: &str, new_password: &str) -> Result<(), AuthError> {
        let exchanged;
        let token = if token.split('.').count() == 3 {
            token
        } else {
            let body = json!({"type": "recovery", "token_hash": token});
            let answer = self.post("verify", &[], By::Anybody, body).await;
            exchanged = signed_in(answer.map_err(refused_token)?)?.access_token;
            &exchanged
        };
        self.set_password(token, new_password)
            .await
            .map_err(refused_token)
    }

    async fn sign_in_with_google(
        &self,
        id_token: &str,
        nonce: Option<&str>,
    ) -> Result<SignedIn, AuthError> {
        let mut body = with_security(json!({"provider": "google", "id_token": id_token}));
        if let (Some(nonce), Some(fields)) = (nonce, body.as_object_mut()) {
            fields.insert("nonce".to_owned(), nonce.into());
        }
        let query = [("grant_type", "id_token")];
        let answer = self.post("token", &query, By::Anybody, body).await;
        let answer = answer.map_err(|error| match error {
            CallError::Refused(refusal) => {
                tracing::info!(code = refusal.code, "the provider refused a Google token");
                AuthError::GoogleRefused("the provider refused it")
            }
            other => other.into(),
        })?;
        signed_in(answer)
    }

    async fn sign_out(&self, token: &str, _claims: &Claims) -> Result<(), AuthError> {
        let call = Call {
            method: Method::POST,
            path: "logout",
            query: &[("scope", "local")],
            by: By::User(token),
            body: None,
        };
        match self.client.send(call).await {
            Ok(_) => Ok(()),
            // The log-in is gone already.
            Err(CallError::Refused(Refusal { status, .. }))
                if [
                    StatusCode::UNAUTHORIZED,
                    StatusCode::FORBIDDEN,
                    StatusCode::NOT_FOUND,
                ]
                .contains(&status) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn sign_in_developer(&self, email: &str, name: &str) -> Result<SignedIn, AuthError> {
        let failed = |error: CallError| match error {
            CallError::Refused(refusal) => AuthError::DeveloperNotMade(refusal.text),
            other => other.into(),
        };
        let body = json!({
            "email": email, "email_confirm": true, "user_metadata": {"display_name": name},
        });
        match self.post("admin/users", &[], By::Service, body).await {
            Err(CallError::Refused(refusal)) if is_taken(&refusal) => {}
            other => drop(other.map_err(failed)?),
        }
        let body = json!({"type": "magiclink", "email": email});
        let link = self.post("admin/generate_link", &[], By::Service, body);
        let link = link.await.map_err(failed)?;
        let hash = link.get("hashed_token").and_then(Value::as_str);
        let hash = hash.ok_or_else(|| AuthError::DeveloperNotMade("no token came".to_owned()))?;
        let body = json!({"type": "magiclink", "token_hash": hash});
        signed_in(self.post("verify", &[], By::Anybody, body).await?)
    }

    async fn look_up(&self, token: &str, claims: &Claims) -> Result<Sighting, AuthError> {
        let user = match self.describe(token, claims.subject).await {
            Ok(user) => user,
            Err(CallError::Refused(refusal)) => {
                tracing::info!(code = refusal.code, "the provider does not know a subject");
                return Err(AuthError::SessionInvalid);
            }
            Err(CallError::Unavailable(reason))
                if NULL_DEFECT.iter().any(|text| reason.contains(text)) =>
            {
                return Ok(Sighting {
                    subject: claims.subject,
                    email: address(claims.email.as_deref()),
                    is_proven: false,
                    user_metadata: claims.user_metadata.clone(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        sighting(&user, claims)
    }
}

/// Reads GoTrue's user object, which must be about the subject that was asked for.
fn sighting(user: &Value, claims: &Claims) -> Result<Sighting, AuthError> {
    let text = |name: &str| user.get(name).and_then(Value::as_str);
    if text("id").and_then(|id| Uuid::parse_str(id).ok()) != Some(claims.subject) {
        tracing::warn!("the provider answered about another subject");
        return Err(AuthError::SessionInvalid);
    }
    let metadata = user.get("user_metadata").and_then(Value::as_object);
    Ok(Sighting {
        subject: claims.subject,
        email: address(text("email")),
        is_proven: text("email_confirmed_at").is_some_and(|time| !time.is_empty()),
        user_metadata: metadata.cloned().unwrap_or_default(),
    })
}

fn address(email: Option<&str>) -> Option<String> {
    email
        .map(|email| email.trim().to_lowercase())
        .filter(|email| !email.is_empty())
}

fn data(display_name: Option<&str>) -> Map<String, Value> {
    let name = display_name.map(|name| ("display_name".to_owned(), name.into()));
    name.into_iter().collect()
}

fn is_taken(refusal: &Refusal) -> bool {
    TAKEN.contains(&refusal.code.as_str())
        || refusal.text.to_lowercase().contains("already registered")
}

fn is_wrong_password(refusal: &Refusal) -> bool {
    refusal.code == "invalid_credentials" || refusal.text == "Invalid login credentials"
}

/// A weak password is the caller's to mend; anything else that is refused here is the token.
fn refused_token(error: CallError) -> AuthError {
    match error {
        CallError::Refused(refusal) if refusal.code == "same_password" => AuthError::SamePassword,
        CallError::Refused(refusal)
            if refusal.code == "weak_password"
                || refusal.status == StatusCode::UNPROCESSABLE_ENTITY =>
        {
            AuthError::from(CallError::Refused(refusal))
        }
        CallError::Refused(_) => AuthError::ResetTokenInvalid,
        other => other.into(),
    }
}

fn signed_in(answer: Value) -> Result<SignedIn, AuthError> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let (Some(access_token), Some(refresh_token)) = (text("access_token"), text("refresh_token"))
    else {
        return Err(AuthError::Unavailable("it gave no session".to_owned()));
    };
    Ok(SignedIn {
        access_token: access_token.to_owned(),
        refresh_token: refresh_token.to_owned(),
        expires_in: answer
            .get("expires_in")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        account: ProviderAccount::Foreign(answer.get("user").cloned().unwrap_or_default()),
    })
}
