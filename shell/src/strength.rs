//! Estimates the strength of new passwords with zxcvbn (Wheeler, USENIX Security 2016).

use keyshell_client::keys::password::Password;
use zxcvbn::{Score, zxcvbn};

use crate::error::{Error, Result};

/// Lowest accepted score: about 10^8 guesses, each of which costs one Argon2id of 64 MiB.
const MIN_SCORE: Score = Score::Three;
/// Characters of a password that are rated: the time of zxcvbn grows with the square of the length.
const MAX_RATED: usize = 100;

/// Refuses a password that is easy to guess.
///
/// # Errors
/// [`Error::usage`] with zxcvbn's warning and suggestion.
pub fn check(password: &Password, account: &str) -> Result<()> {
    let text = std::str::from_utf8(password.typed().expose()).unwrap_or_default();
    let end = text
        .char_indices()
        .nth(MAX_RATED)
        .map_or(text.len(), |(at, _)| at);
    let judged = zxcvbn(
        text.get(..end).unwrap_or_default(),
        &[account, "keyshell", "keyserver"],
    );
    if judged.score() >= MIN_SCORE {
        return Ok(());
    }
    let reason = judged.feedback().map_or_else(
        || "it is too short".to_owned(),
        |feedback| {
            let warning = feedback.warning().map(|warning| warning.to_string());
            let advice = feedback.suggestions().first().map(ToString::to_string);
            let said: Vec<String> = warning.into_iter().chain(advice).collect();
            said.join(" ").trim_end_matches('.').to_owned()
        },
    );
    Err(Error::usage(format!(
        "this password is easy to guess: {reason}; choose another one, for example five random words, or use it with --force"
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        let judge = |text: &str| check(&Password::parse(text).unwrap(), "alice");
        for weak in ["password", "alice1", "qwertyuiop", "a", "Passw0rd!"] {
            let refused = judge(weak).unwrap_err();
            assert!(
                refused.to_string().contains("easy to guess"),
                "{weak}: {refused}"
            );
            assert_eq!(refused.status(), 2);
        }
        judge("mural flotsam 8 gherkin orbit").unwrap();
        judge(&"ä very long one ".repeat(60)).unwrap();
    }
}
