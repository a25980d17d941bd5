//! The figures of the whole recorder: a process of its own, fed over loopback, kernel time
//! included. One word chooses the figure; `./dev figures` lists them. What a figure is compared
//! with is measured in the same run, in turns, as the machine may be shared.

mod bare;
mod figures;
mod peers;
mod spilling;
mod trial;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if cfg!(target_feature = "avx2") {
        println!("built for processors with AVX2 alone");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match words.as_slice() {
            ["ratio"] => figures::ratio().await,
            ["growth"] => figures::growth().await,
            ["memory"] => figures::memory().await,
            ["capacity", rest @ ..] => figures::capacity(rest).await,
            ["spill", rest @ ..] => spilling::spill(rest).await,
            ["peers", rest @ ..] => peers::compare(rest).await,
            [] => {
                println!(
                    "name a figure: ratio, growth, memory, capacity [opus] [adaptive] [COMPLEXITY], \
                     spill [CALLS [SECONDS]], peers [COMPLEXITY …]"
                );
                Ok(())
            }
            other => bail!("no such figure: {}", other.join(" ")),
        }
    })
}
