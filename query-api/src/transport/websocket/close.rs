//! Why a WebSocket ends, in the numbers and words of the protocol.

use axum::extract::ws::{CloseFrame, Message};

/// Bytes of a reason; a close frame holds no more (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// The reason a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// We tell the client why.
    Close { code: u16, reason: String },
    /// There is nobody to tell.
    Gone,
}

impl End {
    fn close(code: u16, reason: &str) -> Self {
        Self::Close { code, reason: reason.to_owned() }
    }

    pub(super) fn bad_request(reason: &str) -> Self {
        Self::close(4400, reason)
    }

    pub(super) fn unauthorized() -> Self {
        Self::close(4401, "Unauthorized")
    }

    /// Clients take this one for a credential that is worth renewing.
    pub(super) fn forbidden() -> Self {
        Self::close(4403, "Forbidden")
    }

    pub(super) fn subprotocol() -> Self {
        Self::close(4406, "Subprotocol not acceptable")
    }

    pub(super) fn init_timeout() -> Self {
        Self::close(4408, "Connection initialisation timeout")
    }

    pub(super) fn subscriber_exists(id: &str) -> Self {
        Self::close(4409, &format!("Subscriber for {id} already exists"))
    }

    pub(super) fn too_many_initialisations() -> Self {
        Self::close(4429, "Too many initialisation requests")
    }

    pub(super) fn going_away() -> Self {
        Self::close(1001, "the server is stopping")
    }

    pub(super) fn too_many_streams() -> Self {
        Self::close(1013, "too many streams are open, close one first")
    }

    /// A frame that could not be read.
    ///
    /// The library does not let us name its error type, only read it; a test holds it to that.
    pub(super) fn unreadable(error: &axum::Error) -> Self {
        if error.to_string().starts_with("Space limit exceeded") {
            Self::close(1009, "the message is too big")
        } else {
            Self::Gone
        }
    }
}

/// A close frame, its reason cut to what fits.
pub(super) fn frame(code: u16, reason: &str) -> Message {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    Message::Close(Some(CloseFrame { code, reason: reason[..end].into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let Message::Close(Some(frame)) = frame(4400, &"ä".repeat(100)) else {
            panic!("not a close frame");
        };
        assert_eq!(frame.reason.as_str(), "ä".repeat(61));
    }
}
