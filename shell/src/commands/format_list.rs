//! `help formats`

use keyshell_formats as formats;
use serde::Serialize;

use crate::context::Context;
use crate::error::Result;
use crate::output::qr::QR;

/// The word behind `help`.
pub const TOPIC: &str = "formats";

#[derive(Serialize)]
struct Row {
    name: &'static str,
    /// Whether the format holds a whole vault, not one secret.
    vault: bool,
    import: bool,
    export: bool,
    about: &'static str,
}

/// Lists the formats.
pub fn show(context: &Context) -> Result<()> {
    let one = formats::ALL.iter().map(|format| Row {
        name: format.name,
        vault: false,
        import: true,
        export: true,
        about: format.about,
    });
    let whole = formats::VAULTS.iter().map(|format| Row {
        name: format.name,
        vault: true,
        import: true,
        // keyshell's own format has a writer of its own, which writes while it fetches.
        export: format.is_written() || format.name == formats::native::NAME,
        about: format.about,
    });
    let picture = Row {
        name: QR,
        vault: false,
        import: false,
        export: true,
        about: "a QR code: on the terminal, or as a picture with --out FILE.svg or --out FILE.png",
    };
    let rows: Vec<Row> = one.chain([picture]).chain(whole).collect();
    if context.out.is_json() {
        return context.out.object(&serde_json::json!({"formats": rows}));
    }
    let rows = rows.iter().map(|row| {
        let what = if row.vault { "vault" } else { "one secret" };
        let how = match (row.import, row.export) {
            (true, true) => "import, export",
            (false, _) => "export",
            (true, false) => "import",
        };
        [row.name, what, how, row.about].map(str::to_owned)
    });
    let header = ["FORMAT", "HOLDS", "USE", "DESCRIPTION"];
    context.out.table(header, rows, &[3])
}
