//! The page on which somebody with a recovery link chooses a new password.

/// The page around every step.
const PAGE: &str = include_str!("../../../assets/auth/reset-password.html");

/// What the page says.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Choose a password.
    Ask { token: &'a str },
    /// That one is not accepted, for this reason.
    Again { token: &'a str, reason: &'a str },
    /// The link is used or too old.
    TooLate,
    /// It is done.
    Done,
}

/// The page at this step; `frontend` is where it leads on.
#[must_use]
pub fn page(step: &Step<'_>, frontend: &str) -> String {
    let on = |text: &str| {
        format!(
            "<p><a class=\"button\" href=\"{}\">{text}</a></p>",
            escape(frontend)
        )
    };
    let (title, body) = match step {
        Step::Ask { token } => ("Choose a new password", form(token, "")),
        Step::Again { token, reason } => ("Choose a new password", form(token, reason)),
        Step::TooLate => (
            "This link no longer works",
            format!(
                "<p>It was used already, or it is too old. Ask for a new one where you sign in.</p>{}",
                on("Go to DayGen")
            ),
        ),
        Step::Done => (
            "Your password is changed",
            format!(
                "<p>Everybody who was signed in to your account is signed out. Sign in with the new password.</p>{}",
                on("Sign in")
            ),
        ),
    };
    PAGE.replace("{title}", title).replace("{body}", &body)
}

fn form(token: &str, reason: &str) -> String {
    let reason = if reason.is_empty() {
        String::new()
    } else {
        format!("<p class=\"reason\" role=\"alert\">{}</p>", escape(reason))
    };
    format!(
        "{reason}<form method=\"post\" action=\"reset-password\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <label for=\"password\">New password, 8 characters or more</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" \
         minlength=\"8\" maxlength=\"128\" required autofocus>\
         <button class=\"button\" type=\"submit\">Change the password</button></form>",
        escape(token)
    )
}

/// Text that is safe between tags and in quoted attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
