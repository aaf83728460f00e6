//! QR codes, read by foreign programs: rsvg-convert draws, zbarimg reads.

use std::path::Path;
use std::process::Command;

/// Size of a module in drawings, in pixels.
const MODULE: usize = 6;

/// Whether the programs are there, see [`has`](crate::foreign::has).
pub fn can_read() -> bool {
    crate::foreign::has(&["zbarimg", "rsvg-convert"])
}

/// What a picture's codes hold, a line each.
#[track_caller]
pub fn scanned(picture: &Path) -> String {
    let output = Command::new("zbarimg")
        .args(["--raw", "-q", "-Sdisable", "-Sqrcode.enable"])
        .arg(picture)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.strip_suffix('\n').unwrap().to_owned()
}

/// Draws an SVG as PNG, in a size that is good to scan.
#[track_caller]
pub fn rendered(svg: &Path, to: &Path) {
    let mut command = Command::new("rsvg-convert");
    command.args(["--dpi-x", "150", "--dpi-y", "150"]);
    let drawn = command.arg(svg).arg("-o").arg(to).status();
    assert!(drawn.unwrap().success());
}

/// Draws half blocks as PGM; `dark` says whether what is printed is the dark modules.
pub fn drawn(text: &str, dark: bool, to: &Path) {
    let rows = text.lines().flat_map(|line| {
        let above = line.chars().map(|c| "\u{2588}\u{2580}".contains(c) == dark);
        let below = line.chars().map(|c| "\u{2588}\u{2584}".contains(c) == dark);
        [above.collect::<Vec<bool>>(), below.collect()]
    });
    let rows: Vec<Vec<bool>> = rows.collect();
    let (width, height) = (rows[0].len() * MODULE, rows.len() * MODULE);
    let mut image = format!("P5 {width} {height} 255\n").into_bytes();
    for row in rows {
        assert_eq!(row.len() * MODULE, width);
        let pixels = row
            .iter()
            .flat_map(|dark| [if *dark { 0 } else { 255 }; MODULE]);
        let pixels: Vec<u8> = pixels.collect();
        (0..MODULE).for_each(|_| image.extend(&pixels));
    }
    std::fs::write(to, image).unwrap();
}
