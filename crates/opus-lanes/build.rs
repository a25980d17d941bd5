//! Compiles the libopus that `opusic-sys` brings a second time, under names of its own and with the
//! calls of a few functions led to `c/hooks.c`. Not a byte of libopus is changed: a header that is
//! included before each file renames what the linker sees. The library that `opusic-sys` builds stays
//! beside it as it is.
//!
//! Stops the build where libopus is another than the one whose functions are known here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The package that holds the C files.
const PACKAGE: &str = "opusic-sys-0.7.7";
/// Of the C files and headers that are compiled (see [`digest`]).
const DIGEST: u64 = 0xeb50_ccc4_659b_2012;
/// Names that two libraries in one program must not share. Not among them, and so taken from the other:
/// `opus_packet_get_nb_frames`, which is defined among the decoders.
const SYMBOLS: &str = include_str!("c/symbols.txt");
/// Functions whose calls are caught, and the file that defines each.
const CAUGHT: [(&str, &str); 8] = [
    ("silk_NSQ_c", "silk/NSQ.c"),
    ("silk_NSQ_sse4_1", "silk/x86/NSQ_sse4_1.c"),
    ("silk_NSQ_del_dec_c", "silk/NSQ_del_dec.c"),
    ("silk_warped_autocorrelation_FLP", "silk/float/warped_autocorrelation_FLP.c"),
    ("silk_A2NLSF", "silk/A2NLSF.c"),
    ("silk_NLSF_encode", "silk/NLSF_encode.c"),
    ("silk_VQ_WMat_EC_c", "silk/VQ_WMat_EC.c"),
    ("silk_VQ_WMat_EC_sse4_1", "silk/x86/VQ_WMat_EC_sse4_1.c"),
];
/// Files that only decoders and several streams in a packet need.
const LEFT_OUT: [&str; 22] = [
    "celt/celt_decoder.c",
    "silk/CNG.c",
    "silk/PLC.c",
    "silk/debug.c",
    "silk/dec_API.c",
    "silk/decode_core.c",
    "silk/decode_frame.c",
    "silk/decode_indices.c",
    "silk/decode_parameters.c",
    "silk/decode_pitch.c",
    "silk/decode_pulses.c",
    "silk/decoder_set_fs.c",
    "silk/init_decoder.c",
    "silk/stereo_MS_to_LR.c",
    "silk/stereo_decode_pred.c",
    "src/mapping_matrix.c",
    "src/opus_decoder.c",
    "src/opus_multistream.c",
    "src/opus_multistream_decoder.c",
    "src/opus_multistream_encoder.c",
    "src/opus_projection_decoder.c",
    "src/opus_projection_encoder.c",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=c");
    println!("cargo:rerun-if-env-changed=OPUS_LANES_LIBOPUS");
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if (target("ARCH").as_str(), target("OS").as_str()) == ("x86_64", "linux") {
        build(&target("FEATURE"));
    }
}

fn build(features: &str) {
    let libopus = find();
    let found = digest(&libopus);
    assert_eq!(
        found,
        DIGEST,
        "the libopus in {} is not the one whose functions opus-lanes replaces (digest {found:#018x}); \
         see the section on a new libopus in crates/opus-lanes/README.md",
        libopus.display()
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a directory"));
    fs::write(out.join("names.h"), names()).expect("the header is written");
    fs::write(out.join("config.h"), "").expect("the header is written");
    // The rule of opusic-sys: what the compiler may take for granted is not asked for at run time.
    let presumed = ["avx2", "fma"].iter().all(|one| features.split(',').any(|feature| feature == *one));
    let sse41 = presumed || features.split(',').any(|feature| feature == "sse4.1");
    let mut build = cc::Build::new();
    build.opt_level(3).debug(false).warnings(false).extra_warnings(false).std("gnu99");
    build.flag("-fstack-protector-strong").flag("-msse").flag("-msse2").flag("-w");
    for include in ["include", ".", "celt", "silk", "silk/float"] {
        build.include(libopus.join(include));
    }
    build.include(&out).include("c").flag("-include").flag("names.h");
    for define in [
        "NDEBUG",
        "OPUS_BUILD",
        "VAR_ARRAYS",
        "HAVE_ALLOCA_H",
        "HAVE_CONFIG_H",
        "HAVE_LRINT",
        "HAVE_LRINTF",
        "ENABLE_HARDENING",
        "DISABLE_DEBUG_FLOAT",
        "CPU_INFO_BY_ASM",
        "OPUS_X86_MAY_HAVE_SSE",
        "OPUS_X86_MAY_HAVE_SSE2",
        "OPUS_X86_MAY_HAVE_SSE4_1",
        "OPUS_X86_MAY_HAVE_AVX2",
        "OPUS_X86_PRESUME_SSE",
        "OPUS_X86_PRESUME_SSE2",
    ] {
        build.define(define, None);
    }
    build.define("_FORTIFY_SOURCE", "2").define("PACKAGE_VERSION", "\"1.6.1\"");
    if !presumed {
        build.define("OPUS_HAVE_RTCD", None);
    }
    if sse41 {
        build.define("OPUS_X86_PRESUME_SSE4_1", None).flag("-msse4.1");
    }
    if presumed {
        build.define("OPUS_X86_PRESUME_AVX2", None).flag("-mavx").flag("-mavx2").flag("-mfma");
    }
    let mut objects = Vec::new();
    let lists = Lists::read(&libopus);
    let mut plain = lists.files(&[
        "CELT_SOURCES",
        "SILK_SOURCES",
        "SILK_SOURCES_FLOAT",
        "OPUS_SOURCES",
        "OPUS_SOURCES_FLOAT",
    ]);
    if !presumed {
        plain.extend(lists.files(&["CELT_SOURCES_X86_RTCD", "SILK_SOURCES_X86_RTCD"]));
    }
    let groups = [
        (plain, &[][..]),
        (lists.files(&["CELT_SOURCES_SSE", "CELT_SOURCES_SSE2"]), &[]),
        (lists.files(&["CELT_SOURCES_SSE4_1", "SILK_SOURCES_SSE4_1"]), &["-msse4.1"]),
        (
            lists.files(&["CELT_SOURCES_AVX2", "SILK_SOURCES_AVX2", "SILK_SOURCES_FLOAT_AVX2"]),
            &["-mavx2", "-mfma", "-mavx"],
        ),
    ];
    for (files, flags) in groups {
        let (own, others): (Vec<_>, Vec<_>) = files
            .into_iter()
            .filter(|file| !LEFT_OUT.contains(&file.as_str()))
            .partition(|file| CAUGHT.iter().any(|(_, at)| at == file));
        let mut group = build.clone();
        flags.iter().for_each(|flag| {
            group.flag(flag);
        });
        for file in own {
            let mut one = group.clone();
            for (name, _) in CAUGHT.iter().filter(|(_, at)| *at == file) {
                one.define(&format!("OPUS_LANES_DEFINES_{name}"), None);
            }
            objects.extend(one.file(libopus.join(file)).compile_intermediates());
        }
        objects.extend(group.files(others.iter().map(|file| libopus.join(file))).compile_intermediates());
    }
    let mut hooks = build.clone();
    for (name, _) in CAUGHT {
        hooks.define(&format!("OPUS_LANES_DEFINES_{name}"), None);
    }
    objects.extend(hooks.file("c/hooks.c").compile_intermediates());
    cc::Build::new().objects(objects).compile("opus_lanes");
    println!("cargo:rustc-link-lib=m");
}

/// A name for each symbol of its own, and for each caught function another where it is called.
fn names() -> String {
    let mut header = String::new();
    for name in SYMBOLS.lines() {
        if CAUGHT.iter().any(|(caught, _)| *caught == name) {
            let _ = writeln!(
                header,
                "#ifdef OPUS_LANES_DEFINES_{name}\n#define {name} opus_lanes_{name}\n#else\n\
                 #define {name} opus_lanes_hook_{name}\n#endif"
            );
        } else {
            let _ = writeln!(header, "#define {name} opus_lanes_{name}");
        }
    }
    header
}

/// Where cargo keeps the C files: it says so to no build script but the package's own. They were
/// unpacked before this runs, since this package depends on that.
fn find() -> PathBuf {
    if let Some(given) = env::var_os("OPUS_LANES_LIBOPUS") {
        return given.into();
    }
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let homes = home.into_iter().chain(env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let registries = homes.flat_map(|home| fs::read_dir(home.join("registry/src")).into_iter().flatten());
    let kept = registries.flatten().map(|registry| registry.path().join(PACKAGE).join("opus"));
    // `cargo vendor` puts the packages into a directory of the workspace.
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package"));
    let vendored = here.ancestors().flat_map(|above| {
        ["vendor/opusic-sys/opus".to_owned(), format!("vendor/{PACKAGE}/opus")].map(|path| above.join(path))
    });
    let found = kept.chain(vendored.collect::<Vec<_>>()).find(|path| path.join("silk_sources.mk").is_file());
    found.unwrap_or_else(|| {
        panic!("the C files of {PACKAGE} were not found; please name their directory in OPUS_LANES_LIBOPUS")
    })
}

/// FNV-1a over the names and the content of all C files and headers. The package itself is checked by
/// `Cargo.lock`; this tells one version from another.
fn digest(libopus: &Path) -> u64 {
    let mut files = Vec::new();
    for part in ["celt", "include", "silk", "src"] {
        collect(&libopus.join(part), &mut files);
    }
    files.extend(["celt_sources.mk", "opus_sources.mk", "silk_sources.mk"].map(|name| libopus.join(name)));
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for file in files {
        let name = file.strip_prefix(libopus).expect("it lies below").to_string_lossy().into_owned();
        let content = fs::read(&file).expect("it is readable");
        for byte in name.bytes().chain(content) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("libopus has this directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "c" || extension == "h") {
            files.push(path);
        }
    }
}

/// The lists of files that libopus itself is built from.
struct Lists(BTreeMap<String, Vec<String>>);

impl Lists {
    fn read(libopus: &Path) -> Self {
        let mut lists = BTreeMap::new();
        for name in ["celt_sources.mk", "opus_sources.mk", "silk_sources.mk"] {
            let text = fs::read_to_string(libopus.join(name)).expect("libopus has this list");
            for line in text.replace("\\\n", " ").lines() {
                if let Some((list, files)) = line.split_once('=') {
                    let files = files.split_whitespace().map(str::to_owned).collect();
                    lists.insert(list.trim().to_owned(), files);
                }
            }
        }
        Self(lists)
    }

    fn files(&self, names: &[&str]) -> Vec<String> {
        names.iter().flat_map(|name| self.0.get(*name).expect("libopus has this list")).cloned().collect()
    }
}
