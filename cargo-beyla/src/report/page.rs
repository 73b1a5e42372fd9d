//! The page of `--html`: one file for a browser, which fetches nothing else.
//!
//! Its data is the JSON report, compressed. The script makes elements of that and never markup, and the policy at the top
//! of the page makes the browser hold it to that: no script, style, image or connection is allowed but what is named.

use std::io::{self, BufWriter, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};

use super::json;
use super::run_report::RunReport;

/// The page up to its data, with places for what differs or is known only here.
const HEAD: &str = include_str!("../../templates/page/page.html");

const STYLE: &str = include_str!("../../templates/page/page.css");

/// All of the script, in one scope.
const SCRIPT: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("../../templates/page/dom.js"),
    include_str!("../../templates/page/units.js"),
    include_str!("../../templates/page/report.js"),
    include_str!("../../templates/page/view.js"),
    include_str!("../../templates/page/table.js"),
    include_str!("../../templates/page/overview.js"),
    include_str!("../../templates/page/routes.js"),
    include_str!("../../templates/page/points.js"),
    include_str!("../../templates/page/requests.js"),
    include_str!("../../templates/page/waterfall.js"),
    include_str!("../../templates/page/flame.js"),
    include_str!("../../templates/page/tests.js"),
    include_str!("../../templates/page/main.js"),
    "})();\n",
);

/// Writes the page.
pub fn write(report: &RunReport, writer: impl Write) -> io::Result<()> {
    let mut writer = BufWriter::new(writer);
    let title = format!("{} - cargo beyla", report.run.name());
    // The title comes last: it may hold the name of another place.
    let head = HEAD.replace("{style}", STYLE).replace("{policy}", &policy()).replace("{title}", &escape(&title));
    writer.write_all(head.as_bytes())?;
    let mut packed = GzEncoder::new(EncoderWriter::new(&mut writer, &STANDARD), Compression::default());
    json::write(report, &mut packed)?;
    packed.finish()?.finish()?;
    write!(writer, "\n</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")?;
    writer.flush()
}

/// What the page may do, as a Content Security Policy: run this script, use this style, and show what is within it.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; \
         form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// A text as it may stand between tags.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::report::fixtures;
    use crate::report::run_info::{RunInfo, Traced};

    const HOSTILE: &str = "/</script><img src=x onerror=alert(1)><!--";

    fn page(name: &str, path: &str) -> (String, Vec<u8>) {
        let summary = fixtures::summary(vec![fixtures::request(1, path)], vec![fixtures::route("GET", "/", 1)]);
        let run = RunInfo {
            traced: Traced::Server { pid: 1, executable: name.into(), within: Vec::new() },
            ..fixtures::run()
        };
        let report = fixtures::report(summary, run, 5);
        let (mut page, mut json) = (Vec::new(), Vec::new());
        write(&report, &mut page).unwrap();
        json::write(&report, &mut json).unwrap();
        (String::from_utf8(page).unwrap(), json)
    }

    #[test]
    fn the_data_is_the_json_report() {
        let (page, json) = page("/work/target/server", HOSTILE);
        let (_, data) = page.split_once("id=\"report\">\n").unwrap();
        let (data, _) = data.split_once("\n</script>").unwrap();
        let mut unpacked = Vec::new();
        GzDecoder::new(&*STANDARD.decode(data).unwrap()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, json);
    }

    #[test]
    fn names_are_no_markup() {
        let (page, _) = page("/work/</title><script>x&{style}", HOSTILE);
        assert!(page.contains("<title>title&gt;&lt;script&gt;x&amp;{style} - cargo beyla</title>"), "{}", &page[..900]);
        assert!(!page.contains("onerror") && !page.contains("<script>x"));
        assert_eq!(page.matches("<script").count(), 2, "the data and the script");
        assert_eq!((page.matches("</script").count(), page.matches("</style").count()), (2, 1));
    }

    #[test]
    fn the_policy_names_what_the_page_holds() {
        let (page, _) = page("/work/server", "/");
        assert!(page.contains(&format!("content=\"{}\"", policy())));
        assert!(
            page.contains(&format!("<style>{STYLE}</style>")) && page.contains(&format!("<script>{SCRIPT}</script>"))
        );
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "http://www"]
        {
            let allowed = usize::from(forbidden == "http://www"); // the namespace of SVG
            assert_eq!(SCRIPT.matches(forbidden).count(), allowed, "{forbidden}");
        }
        assert!(!STYLE.contains("url("));
    }
}
