//! The Socket.IO edge: who may connect, what they may ask for, and the task of each connection.
//!
//! Protocol (generation contract 10.2): namespace `/`, an access token in `auth.token` or the
//! `Authorization` header of the handshake. `subscribe-jobs {userId?, lastSeq?}` answers
//! `subscribed {userId, lastSeq}` and then `job-update` for every change of the caller's own jobs after
//! `lastSeq`; `unsubscribe-jobs` answers `unsubscribed {userId}`. What is refused answers
//! `error {code, message}`. The token's end is the connection's end.

use std::{fmt, sync::Arc, time::Duration};

use sea_orm::{DatabaseConnection, prelude::Uuid};
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::{
    ParserError, SendError, SocketError, SocketIo,
    extract::{SocketRef, TryData},
    handler::ConnectHandler,
    layer::SocketIoLayer,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Hub, JOB_UPDATE, JobUpdate, Kind, Seat, Start, Subscription};
use crate::{
    auth::{
        AuthError,
        guard::{Authenticated, authenticate, bearer, until_ended},
        identity::{Identity, Keeper},
        tokens::TokenKeys,
    },
    models::scalars::as_integer,
    settings,
};

/// Where clients connect.
pub const PATH: &str = "/socket.io";
/// Requests of one client that wait for their turn; more are refused.
const COMMANDS: usize = 8;
/// Pause before an event is offered again to a client whose buffer is full.
const FULL_PAUSE: Duration = Duration::from_millis(25);

/// What proves a caller, and where events come from.
pub struct Gate {
    pub db: DatabaseConnection,
    pub keys: Arc<TokenKeys>,
    pub identity: Arc<dyn Identity>,
    /// Credits that a user gets who is first seen here.
    pub welcome: i64,
    /// Pause between two looks at whether a connected user may stay.
    pub recheck: Duration,
    pub hub: Arc<Hub>,
}

/// What a client sends with its connection.
#[derive(Debug, Default, Deserialize)]
struct Handshake {
    token: Option<String>,
}

/// Why a connection is refused; the text is what the client gets as `connect_error`.
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connected client.
#[derive(Clone)]
struct Member {
    user_id: Uuid,
    /// The same user at its identity provider; clients may name either.
    subject: Uuid,
    known: Arc<Authenticated>,
    keeper: Keeper,
    recheck: Duration,
    gone: CancellationToken,
    commands: Arc<std::sync::Mutex<Option<mpsc::Receiver<Command>>>>,
    _seat: Arc<Seat>,
}

enum Command {
    Subscribe(Value),
    Unsubscribe,
}

/// What answers requests below [`PATH`], and the handle that ends it.
#[must_use]
pub fn build(gate: Gate, realtime: &settings::Realtime) -> (SocketIoLayer, SocketIo) {
    let (layer, io) = SocketIo::builder()
        .req_path(PATH)
        .max_payload(u64::try_from(realtime.socket_payload_bytes).unwrap_or(u64::MAX))
        .ws_max_message_size(realtime.socket_payload_bytes)
        .ws_max_frame_size(realtime.socket_payload_bytes)
        .max_buffer_size(realtime.buffer_events)
        .ping_interval(Duration::from_millis(realtime.ping_interval_ms))
        .ping_timeout(Duration::from_millis(realtime.ping_timeout_ms))
        .connect_timeout(Duration::from_millis(realtime.connect_timeout_ms))
        .build_layer();
    let gate = Arc::new(gate);
    let hub = Arc::clone(&gate.hub);
    let admit = move |socket: SocketRef, TryData(handshake): TryData<Handshake>| {
        let gate = Arc::clone(&gate);
        async move { gate.admit(&socket, handshake).await }
    };
    let connected = move |socket: SocketRef| {
        let hub = Arc::clone(&hub);
        async move {
            if let Some(member) = socket.extensions.get::<Member>() {
                serve(&hub, &socket, &member).await;
            }
        }
    };
    io.ns("/", connected.with(admit));
    (layer, io)
}

impl Gate {
    /// Lets a client in and takes its requests from now on, in the order of their arrival.
    async fn admit(
        &self,
        socket: &SocketRef,
        handshake: Result<Handshake, ParserError>,
    ) -> Result<(), Refusal> {
        let given = handshake.unwrap_or_default().token;
        let header = socket
            .req_parts()
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = given
            .as_deref()
            .map(|token| bearer(token).unwrap_or_else(|| token.trim()))
            .filter(|token| !token.is_empty())
            .or_else(|| header.and_then(bearer))
            .ok_or_else(|| {
                Refusal("Unauthorized: connect with an access token in auth.token".to_owned())
            })?;
        let known = authenticate(
            &self.db,
            &self.keys,
            self.identity.as_ref(),
            token,
            self.welcome,
        )
        .await
        .map_err(refusal)?;
        let user_id = known.profile.id;
        let seat = self.hub.seats.of_user(user_id, Kind::Socket);
        let seat = seat.map_err(|error| Refusal(error.to_string()))?;
        let (sender, commands) = mpsc::channel(COMMANDS);
        let member = Member {
            user_id,
            subject: known.claims.subject,
            known: Arc::new(known),
            keeper: self.identity.keeper(),
            recheck: self.recheck,
            gone: CancellationToken::new(),
            commands: Arc::new(std::sync::Mutex::new(Some(commands))),
            _seat: Arc::new(seat),
        };
        take_requests(socket, sender, member.gone.clone());
        socket.extensions.insert(member);
        Ok(())
    }
}

/// The handlers only queue what is asked: each runs as a task of its own, which keeps no order.
fn take_requests(socket: &SocketRef, sender: mpsc::Sender<Command>, gone: CancellationToken) {
    let queue = sender.clone();
    socket.on(
        "subscribe-jobs",
        move |socket: SocketRef, TryData(payload): TryData<Value>| {
            // What cannot be read is an event without arguments.
            enqueue(
                &socket,
                &queue,
                Command::Subscribe(payload.unwrap_or_default()),
            );
            async {}
        },
    );
    socket.on("unsubscribe-jobs", move |socket: SocketRef| {
        enqueue(&socket, &sender, Command::Unsubscribe);
        async {}
    });
    socket.on_disconnect(move |_: SocketRef| {
        gone.cancel();
        async {}
    });
}

fn enqueue(socket: &SocketRef, queue: &mpsc::Sender<Command>, command: Command) {
    if queue.try_send(command).is_err() {
        tell(socket, "TOO_MANY_REQUESTS", "Too many requests at once");
    }
}

/// The life of a connection: requests in, events out, until the client goes, its token ends or the
/// process stops.
async fn serve(hub: &Arc<Hub>, socket: &SocketRef, member: &Member) {
    let taken = member
        .commands
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    let Some(mut commands) = taken else { return };
    // Gone before its handlers were in place: nobody else would tell.
    if !socket.connected() {
        member.gone.cancel();
    }
    let known = Authenticated::clone(&member.known);
    let end = until_ended(hub.db().clone(), member.keeper, known, member.recheck);
    tokio::pin!(end);
    let mut subscription: Option<Subscription> = None;
    loop {
        tokio::select! {
            biased;
            () = member.gone.cancelled() => return,
            () = hub.stopped() => return,
            () = &mut end => {
                tell(socket, "TOKEN_EXPIRED", "The access token has expired; connect again with a new one");
                socket.clone().disconnect().ok();
                return;
            }
            command = commands.recv() => match command {
                Some(Command::Subscribe(payload)) => {
                    // The old one is left first, so that nothing of it comes after the answer.
                    drop(subscription.take());
                    subscription = subscribe(hub, socket, member, &payload).await;
                }
                Some(Command::Unsubscribe) => {
                    subscription = None;
                    socket.emit("unsubscribed", &json!({"userId": member.user_id})).ok();
                }
                None => return,
            },
            update = next_of(&mut subscription) => match update {
                Some(update) => {
                    if !deliver(socket, member, &update).await {
                        return;
                    }
                }
                None => return,
            },
        }
    }
}

/// Pending while there is no subscription.
async fn next_of(subscription: &mut Option<Subscription>) -> Option<Arc<JobUpdate>> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

async fn subscribe(
    hub: &Arc<Hub>,
    socket: &SocketRef,
    member: &Member,
    payload: &Value,
) -> Option<Subscription> {
    let start = match wanted(payload, member) {
        Ok(start) => start,
        Err((code, message)) => {
            tell(socket, code, message);
            return None;
        }
    };
    match hub.subscribe(member.user_id, start, None).await {
        Ok(subscription) => {
            let answer = json!({"userId": member.user_id, "lastSeq": subscription.position()});
            socket.emit("subscribed", &answer).ok();
            Some(subscription)
        }
        Err(error) => {
            tracing::warn!(user.id = %member.user_id, %error, "a socket could not subscribe");
            tell(
                socket,
                "DATABASE_UNAVAILABLE",
                "The service is temporarily unavailable. Please try again.",
            );
            None
        }
    }
}

/// Reads what `subscribe-jobs` asks for; whose jobs they are says the token, not the payload.
fn wanted(payload: &Value, member: &Member) -> Result<Start, (&'static str, &'static str)> {
    let invalid = |message| ("VALIDATION_FAILED", message);
    let fields = match payload {
        Value::Null => return Ok(Start::Now),
        Value::Object(fields) => fields,
        _ => return Err(invalid("subscribe-jobs takes an object")),
    };
    if let Some(named) = fields.get("userId").filter(|id| !id.is_null()) {
        let named = named.as_str().and_then(|id| Uuid::parse_str(id).ok());
        if named.is_none_or(|id| id != member.user_id && id != member.subject) {
            return Err(("FORBIDDEN", "Forbidden"));
        }
    }
    match fields.get("lastSeq").filter(|seq| !seq.is_null()) {
        None => Ok(Start::Now),
        Some(seq) => as_integer(seq)
            .filter(|seq| *seq >= 0)
            .map(Start::After)
            .ok_or_else(|| invalid("lastSeq must be a whole number, 0 or above")),
    }
}

/// Hands an event over, waiting while the client's buffer is full; `false` when the client is gone.
async fn deliver(socket: &SocketRef, member: &Member, update: &JobUpdate) -> bool {
    loop {
        match socket.emit(JOB_UPDATE, update) {
            Ok(()) => return true,
            Err(SendError::Socket(SocketError::InternalChannelFull)) => tokio::select! {
                () = member.gone.cancelled() => return false,
                () = tokio::time::sleep(FULL_PAUSE) => {}
            },
            Err(SendError::Socket(SocketError::Closed)) => return false,
            Err(SendError::Serialize(error)) => {
                tracing::error!(%error, "an event could not be written");
                return true;
            }
        }
    }
}

fn tell(socket: &SocketRef, code: &str, message: &str) {
    socket
        .emit("error", &json!({"code": code, "message": message}))
        .ok();
}

fn refusal(error: AuthError) -> Refusal {
    let text = match error {
        AuthError::Unauthenticated => "Unauthorized: the access token is not valid",
        AuthError::ClaimsRefused => "Unauthorized: the access token's claims are not accepted",
        AuthError::SessionInvalid => "Unauthorized: the session is no longer valid",
        error @ (AuthError::Database(_)
        | AuthError::Unavailable(_)
        | AuthError::RateLimited { .. }) => {
            tracing::error!(%error, "a socket could not be let in");
            "The service is temporarily unavailable. Please try again."
        }
        AuthError::InvalidCredentials
        | AuthError::EmailTaken
        | AuthError::WeakPassword
        | AuthError::RefreshTokenInvalid
        | AuthError::ResetTokenInvalid
        | AuthError::GoogleRefused(_)
        | AuthError::ProviderRefused { .. }
        | AuthError::DeveloperNotMade(_)
        | AuthError::LeakedPassword
        | AuthError::SamePassword
        | AuthError::EmailNotConfirmed
        | AuthError::LinkInvalid
        | AuthError::FlowNotFound
        | AuthError::FlowExpired
        | AuthError::BadVerifier
        | AuthError::MetadataTooLarge
        | AuthError::Busy
        | AuthError::Crypto(_) => "Unauthorized",
    };
    Refusal(text.to_owned())
}
