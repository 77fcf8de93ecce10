//! `$SABOTAGE`: what keeps a cluster safe and is left out here, so that the fault tests can show that
//! they notice. Only what is built with the feature `sabotage` reads it, and that is never shipped.

use commands::settings::Sabotage;

/// Leaves out the fence between writers if that is asked for, and says what the write side is to
/// leave out.
pub(crate) fn given() -> Option<Sabotage> {
    let given = std::env::var("SABOTAGE").ok()?;
    match given.as_str() {
        "answer-at-once" => Some(Sabotage::AnswerAtOnce),
        "write-unfenced" => {
            event_log::kafka::sabotage::leave_out_fences();
            None
        }
        _ => panic!("`$SABOTAGE`: nobody can leave out `{given}`"),
    }
}
