//! `parlor backup`: everything that the server keeps, in a folder.
//!
//! The server sends one moment of its store as lines; this writes them to
//! files, each with its checksum in a manifest that comes last. So a backup
//! of another machine lands here, and no request makes a server write a file.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use clap::Args;
use futures::StreamExt;
use parlor_schemas::Timestamp;
use sha2::{Digest, Sha256};

use super::client::{Client, Target, with_client};
use super::progress;
use crate::store::archive::{
    BACKUP_FORMAT, Counts, FileEntry, Line, MANIFEST, Manifest, RECORDS_FILE, hex, safe_path,
};

/// After this many bytes the history goes on in another file.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The file that decrypts the credentials.
pub(super) const KEY_FILE: &str = "encryption.key";

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// A new folder for the backup
    dir: PathBuf,
    /// Also copy encryption.key: whoever has both can read the credentials
    #[arg(long)]
    with_key: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(data_dir: PathBuf, args: BackupArgs) -> anyhow::Result<u8> {
    check(&data_dir, &args)?;
    let folder = Folder::make(&args.dir)?;
    let key = args.with_key.then(|| data_dir.join(KEY_FILE));
    let made = with_client(&data_dir, &args.target, |client| make(client, folder, key)).await;
    let shown = args.dir.display();
    let manifest =
        made.with_context(|| format!("the backup in {shown} is not finished; remove it"))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&manifest)?);
    } else {
        show(&manifest.counts, &args);
    }
    Ok(u8::from(manifest.counts.damaged > 0))
}

/// What can be known to go wrong before anything is made.
fn check(data_dir: &Path, args: &BackupArgs) -> anyhow::Result<()> {
    let is_remote = args.target.is_remote();
    ensure!(!(args.with_key && is_remote), "--with-key needs the data folder, not --url");
    let is_used = args.dir.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    ensure!(!is_used, "{} is not empty; name a new folder", args.dir.display());
    ensure!(
        is_remote || data_dir.join("parlor.lock").is_file(),
        "the data folder holds no data of Parlor; name it with --data-dir"
    );
    Ok(())
}

async fn make(
    client: Client,
    mut folder: Folder,
    key: Option<PathBuf>,
) -> anyhow::Result<Manifest> {
    let (begun, counts) = receive(&client, &mut folder).await?;
    if let Some(key) = key {
        let key = std::fs::read(key).context("the data folder has no encryption.key")?;
        folder.begin(KEY_FILE)?;
        folder.write(&key)?;
    }
    folder.finish(begun, counts)
}

fn show(counts: &Counts, args: &BackupArgs) {
    let Counts { rows, turns, blobs, vectors, records: _, damaged } = counts;
    println!("{turns} turns, {rows} rows and {blobs} files are in {}", args.dir.display());
    if *vectors > 0 {
        println!("The vector indexes take {vectors} files more.");
    }
    if !args.with_key {
        println!("Keep encryption.key of the data folder elsewhere:");
        println!("without it the credentials cannot be read.");
    }
    if *damaged > 0 {
        println!("{damaged} damaged turns could not be kept; see parlor verify");
    }
}

type Begun = (String, Timestamp);

async fn receive(client: &Client, folder: &mut Folder) -> anyhow::Result<(Begun, Counts)> {
    let mut pieces = client.stream("/api/v1/backup").await?.bytes_stream();
    let bar = progress::bytes("Backing up", None);
    let (mut buffer, mut receiving) = (BytesMut::new(), Receiving::default());
    while let Some(piece) = pieces.next().await {
        let piece = piece.context("the backup broke off; look at the server's log")?;
        bar.inc(piece.len() as u64);
        let mut rest = &piece[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            buffer.extend_from_slice(&rest[..=end]);
            rest = &rest[end + 1..];
            receiving.take(&buffer.split(), folder)?;
        }
        buffer.extend_from_slice(rest);
    }
    bar.finish_and_clear();
    let Receiving { begun: Some(begun), end: Some(counts), own } = receiving else {
        bail!("the server sent no whole backup");
    };
    ensure!(own == Counts { damaged: 0, ..counts }, "some of the backup was lost on the way");
    Ok((begun, counts))
}

/// What has come so far.
#[derive(Default)]
struct Receiving {
    begun: Option<Begun>,
    own: Counts,
    end: Option<Counts>,
}

impl Receiving {
    fn take(&mut self, text: &[u8], folder: &mut Folder) -> anyhow::Result<()> {
        match serde_json::from_slice(text).context("the server sent no backup")? {
            Line::Begin { format, parlor, created_date } => {
                ensure!(format == BACKUP_FORMAT, "the server makes backups of another format");
                self.begun = Some((parlor, created_date));
                Ok(())
            }
            Line::Row { .. } => {
                self.own.rows += 1;
                folder.line("rows", text)
            }
            Line::Turn { .. } => {
                self.own.turns += 1;
                folder.line("history", text)
            }
            Line::Blob { path } => {
                self.own.blobs += 1;
                let path = safe_path(&path).context("the server sent a strange file name")?;
                folder.begin(&format!("blobs/{}", path.display()))
            }
            Line::Vectors { path } => {
                self.own.vectors += 1;
                let path = safe_path(&path).context("the server sent a strange file name")?;
                folder.begin(&format!("vectors/{}", path.display()))
            }
            Line::Records => {
                self.own.records += 1;
                folder.begin(RECORDS_FILE)
            }
            Line::Piece { data } => folder.write(&BASE64_STANDARD.decode(data)?),
            Line::End(counts) => {
                self.end = Some(counts);
                Ok(())
            }
        }
    }
}

/// The folder of the backup and the file that is being written.
struct Folder {
    dir: PathBuf,
    files: Vec<FileEntry>,
    open: Option<Open>,
}

struct Open {
    name: String,
    file: BufWriter<File>,
    hasher: Sha256,
    n_bytes: u64,
}

impl Folder {
    fn make(dir: &Path) -> anyhow::Result<Self> {
        make_private(dir)?;
        Ok(Self { dir: dir.to_owned(), files: Vec::new(), open: None })
    }

    /// Adds a line to the last file of its kind, or to a new one.
    fn line(&mut self, kind: &str, line: &[u8]) -> anyhow::Result<()> {
        let fits = |open: &Open| open.name.starts_with(kind) && open.n_bytes < FILE_BYTES;
        if !self.open.as_ref().is_some_and(fits) {
            let n_files = self.files.len() + usize::from(self.open.is_some());
            self.begin(&format!("{kind}-{n_files:05}.ndjson"))?;
        }
        self.write(line)
    }

    fn begin(&mut self, name: &str) -> anyhow::Result<()> {
        self.end()?;
        let path = self.dir.join(name);
        if let Some(parent) = path.parent() {
            make_private(parent)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let (name, file) = (name.to_owned(), BufWriter::new(file));
        self.open = Some(Open { name, file, hasher: Sha256::new(), n_bytes: 0 });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let open = self.open.as_mut().context("the server sent bytes of no file")?;
        open.file.write_all(bytes).context("cannot write the backup")?;
        open.hasher.update(bytes);
        open.n_bytes += bytes.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.file.flush().context("cannot write the backup")?;
        open.file.get_ref().sync_all().context("cannot write the backup")?;
        let (bytes, sha256) = (open.n_bytes, hex(&open.hasher.finalize()));
        self.files.push(FileEntry { name: open.name, bytes, sha256 });
        Ok(())
    }

    fn finish(mut self, begun: Begun, counts: Counts) -> anyhow::Result<Manifest> {
        self.end()?;
        let (parlor, created_date) = begun;
        let files = std::mem::take(&mut self.files);
        let manifest = Manifest { format: BACKUP_FORMAT, parlor, created_date, counts, files };
        let unfinished = "manifest.unfinished";
        self.begin(unfinished)?;
        self.write(&serde_json::to_vec_pretty(&manifest)?)?;
        self.end()?;
        std::fs::rename(self.dir.join(unfinished), self.dir.join(MANIFEST))?;
        File::open(&self.dir)?.sync_all()?;
        Ok(manifest)
    }
}

fn make_private(dir: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make {}", dir.display()))
}
