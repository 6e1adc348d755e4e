//! TODO
use anyhow::Result;
/// x
pub fn run(_quick: bool) -> Result<()> {
    Ok(())
}
