//! What `--explain` found out about a request, on its server span.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::Event;

use crate::export::key_value::{number, text};
use cargo_beyla_core::model::explanation::{Cause, Delay, Explanation, Holder, Place, RespondParts};

/// The parts of the handle phase and, where they are known, of the respond phase, in nanoseconds.
pub(super) fn attributes(explanation: &Explanation) -> impl Iterator<Item = KeyValue> {
    let handle = explanation.parts.named().map(|(name, ns)| number(&format!("cargo_beyla.handle.{name}"), ns));
    let unit = text("cargo_beyla.handle.unit", explanation.unit.label());
    let respond = explanation.respond.iter().flat_map(RespondParts::named);
    let respond = respond.map(|(name, ns)| number(&format!("cargo_beyla.respond.{name}"), ns));
    std::iter::once(unit).chain(handle).chain(respond)
}

/// The places and the delays. They are sums over the phase, which begins at `unix_ns`, and have no
/// moment of their own.
pub(super) fn events(explanation: &Explanation, unix_ns: u64) -> impl Iterator<Item = Event> {
    let event = move |name: &str, attributes: Vec<KeyValue>| Event {
        name: name.to_owned(),
        time_unix_nano: unix_ns,
        attributes,
        ..Event::default()
    };
    let places = explanation.places.iter().map(move |place| event("cargo_beyla.place", of_place(place)));
    let delays = explanation.delays.iter().map(move |delay| event("cargo_beyla.delay", of_delay(delay)));
    places.chain(delays)
}

fn of_place(place: &Place) -> Vec<KeyValue> {
    let Place { cause, stack: _, ns, count } = place;
    let mut attributes = vec![
        text("cargo_beyla.cause", cause.label()),
        number("cargo_beyla.ns", *ns),
        number("cargo_beyla.count", u64::from(*count)),
    ];
    if let Cause::SystemCall(call) = cause {
        attributes.push(text("cargo_beyla.system_call", call.to_string()));
    }
    attributes
}

fn of_delay(delay: &Delay) -> Vec<KeyValue> {
    let Delay { by, ns } = delay;
    let by = match by {
        Holder::Request((method, route)) => format!("{method} {route}"),
        // The names of types are known when the run is over.
        Holder::Task(_) => "a task".to_owned(),
    };
    vec![text("cargo_beyla.by", by), number("cargo_beyla.ns", *ns)]
}
