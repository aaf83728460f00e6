//! UUIDs (RFC 9562).

/// These bytes as a UUID of version 4.
pub fn uuid(bytes: [u8; 16]) -> String {
    const VERSION: u32 = 76;
    const VARIANT: u32 = 62;
    let bits = u128::from_be_bytes(bytes) & !(0xf << VERSION) & !(0x3 << VARIANT);
    let hex = format!("{:032x}", bits | (0x4 << VERSION) | (0x2 << VARIANT));
    let mut rest = hex.as_str();
    let parts = [8, 4, 4, 4, 12].map(|len| {
        let (part, behind) = rest.split_at_checked(len).unwrap_or_default();
        rest = behind;
        part
    });
    parts.join("-")
}
