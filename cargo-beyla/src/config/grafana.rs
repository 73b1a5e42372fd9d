//! Grafana Cloud: `grafana.otlp`.

use super::endpoint::{Endpoint, Path, Signal, basic};
use super::keys::{CLOUD_API_KEY, CLOUD_INSTANCE_ID, CLOUD_SUBMIT, CLOUD_ZONE};
use super::layers::Layers;
use super::node::{Node, Wrong};
use super::secret::Secret;
use super::source::Setting;
use super::values::{choice, list, scalar, text};
use crate::error::Error;

/// An account in Grafana Cloud.
#[derive(Debug)]
pub(super) struct GrafanaCloud {
    pub(super) endpoint: Setting<Endpoint>,
    /// The value of the header `authorization`.
    pub(super) authorization: Setting<Secret>,
    submits: Vec<Signal>,
}

impl GrafanaCloud {
    /// The account, if a zone is named; a warning, if all but that is.
    pub(super) fn load(layers: &Layers<'_>, warnings: &mut Vec<String>) -> Result<Option<Self>, Error> {
        const SIGNALS: &[(&str, Signal)] = &[("traces", Signal::Traces), ("metrics", Signal::Metrics)];
        let submits = layers.get(&CLOUD_SUBMIT, |node| list(node, "traces, metrics", |node| choice(node, SIGNALS)))?;
        let zone = layers.get(&CLOUD_ZONE, zone)?;
        let instance = layers.get(&CLOUD_INSTANCE_ID, text)?;
        let key = layers.get(&CLOUD_API_KEY, secret)?;
        let others = [
            submits.as_ref().map(|submits| &submits.source),
            instance.as_ref().map(|instance| &instance.source),
            key.as_ref().map(|key| &key.source),
        ];
        let Some(Setting { value: endpoint, source }) = zone else {
            // As where the variable that a file refers to is not set.
            if let Some(source) = others.into_iter().flatten().next() {
                warnings.push(format!("{source}: nothing goes to Grafana Cloud, as cloud_zone is not set"));
            }
            return Ok(None);
        };
        let missing = |what: &str, variable: &str| Error::Config {
            place: source.to_string(),
            message: format!("Grafana Cloud needs {what} beside grafana.otlp.cloud_zone"),
            hint: Some(format!("set it in the same section, or as {variable}")),
        };
        let instance = instance.ok_or_else(|| missing("cloud_instance_id", "GRAFANA_CLOUD_INSTANCE_ID"))?;
        let key = key.ok_or_else(|| missing("cloud_api_key", "GRAFANA_CLOUD_API_KEY"))?;
        Ok(Some(Self {
            authorization: key.map(|key| basic(&instance.value, key.reveal())),
            endpoint: Setting { value: endpoint, source },
            submits: submits.map_or_else(|| vec![Signal::Traces], |setting| setting.value),
        }))
    }

    /// Whether it takes these.
    pub(super) fn submits(&self, signal: Signal) -> bool {
        self.submits.contains(&signal)
    }
}

/// The zone becomes part of a host name, and must not become more.
fn zone(node: &Node) -> Result<Endpoint, Wrong> {
    const KIND: &str = "a zone such as prod-eu-west-0";
    let zone = scalar(node, KIND)?.trim();
    let valid = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let endpoint = valid.then(|| format!("https://otlp-gateway-{zone}.grafana.net/otlp"));
    endpoint.and_then(|url| Endpoint::parse(&url, Path::Base)).ok_or_else(|| node.expected(KIND))
}

/// A secret is not quoted, whatever is wrong with it.
fn secret(node: &Node) -> Result<Secret, Wrong> {
    let wrong = || node.wrong("expected a text");
    let text = scalar(node, "a text").map_err(|_| wrong())?.trim();
    if text.is_empty() || text.chars().any(char::is_control) { Err(wrong()) } else { Ok(Secret::new(text)) }
}
