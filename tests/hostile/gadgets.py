"""What published bypasses of picklescan, modelscan and fickling call: names only.

Each row is an advisory (or issue, or paper), a module and a name. The arguments are inert, not
those of the advisory: most of these callables need ones that no harmless call has.
"""

from collections.abc import Iterator

from tests.hostile.assembler import Call, Global
from tests.hostile.case import UNSAFE, Case, file_case
from tests.hostile.honest import state_dict, torch_zip

KIND = "published gadgets"

PICKLESCAN = """
CVE-2025-1716 GHSA-655q-fx9r-782v | pip main
CVE-2025-46417 GHSA-93mv-x874-956g | ssl get_server_certificate
CVE-2025-46417 GHSA-93mv-x874-956g | linecache getline
CVE-2025-71351 GHSA-v7x6-rv5q-mhwc | timeit timeit
CVE-2025-71355 GHSA-fj43-3qmq-673f | numpy.testing._private.utils runstring
CVE-2025-10157 GHSA-f7qq-56ww-84cr | asyncio.unix_events _UnixSubprocessTransport._start
GHSA-4r9r-ch6f-vxmx | torch.utils.bottleneck.__main__ run_cprofile
GHSA-4whj-rm5r-c2v8 | torch.utils.bottleneck.__main__ run_autograd_prof
GHSA-86cj-95qr-2p4f | torch._dynamo.guards GuardBuilder.get
GHSA-f4x7-rfwp-v3xw | torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression
GHSA-f745-w6jp-hpxx | torch.utils.collect_env run
GHSA-jhph-76pp-mggw | torch.utils.collect_env run_and_read_all
GHSA-h3qp-7fh3-f8h4 | torch.utils.data.datapipes.utils.decoder basichandlers
GHSA-vr7h-p6mm-wpmh | torch.jit.unsupported_tensor_ops execWrapper
GHSA-vv6j-3g6g-2pvj | torch.utils._config_module ConfigModule.load_config
GHSA-5qwp-399c-mjwf | trace Trace.run
GHSA-g344-hcph-8vgg | trace Trace.runctx
GHSA-x696-vm39-cp64 | profile Profile.run
GHSA-6vqj-c2q5-j97w | profile Profile.runctx
GHSA-7wx9-6375-f5wh | profile run
GHSA-f54q-57x4-jg88 | lib2to3.pgen2.grammar Grammar.loads
GHSA-p9w7-82w4-7q8m | lib2to3.pgen2.pgen ParserGenerator.make_label
GHSA-3vg9-h568-4w9m | idlelib.debugobj ObjectTreeItem.SetText
GHSA-6w4w-5w54-rjvr | idlelib.autocomplete AutoComplete.get_entity
GHSA-7cq8-mj8x-j263 | idlelib.autocomplete AutoComplete.fetch_completions
GHSA-8r4j-24qv-fmq9 | idlelib.calltip Calltip.fetch_tip
GHSA-9xph-j2h6-g47v | idlelib.calltip get_entity
GHSA-m869-42cg-3xwr | idlelib.run Executive.runcode
GHSA-j343-8v2j-ff7w | idlelib.pyshell ModifiedInterpreter.runcommand
GHSA-3gf5-cxq9-w223 | idlelib.pyshell ModifiedInterpreter.runcode
GHSA-cj3c-v495-4xqh | code InteractiveInterpreter.runcode
GHSA-fqq6-7vqf-w3fg | doctest debug_script
GHSA-9w88-8rmg-7g2p | cProfile runctx
GHSA-49gj-c84q-6qm9 | cProfile run
GHSA-xp4f-hrf8-rxw7 | ensurepip _run_pip
GHSA-q77w-mwjj-7mqx | asyncio.unix_events _UnixSubprocessTransport._start
GHSA-m273-6v24-x4m4 | distutils.file_util write_file
GHSA-4675-36f9-wf6r | ctypes CDLL
GHSA-84r2-jw7c-4r5q | pydoc locate
GHSA-84r2-jw7c-4r5q | operator methodcaller
GHSA-vqmv-47xg-9wpr | pty spawn
GHSA-r8g5-cgf2-4m4m | numpy.f2py.crackfortran getlincoef
GHSA-hgrh-qx5j-jfwx | numpy.f2py.crackfortran _eval_length
GHSA-955r-x9j8-7rhh | _operator methodcaller
GHSA-46h3-79wf-xr6c | _operator attrgetter
GHSA-9726-w42j-3qjr | _io FileIO
GHSA-9726-w42j-3qjr | urllib.request urlopen
GHSA-9m3x-qqw2-h32h | types CodeType
GHSA-9m3x-qqw2-h32h | cloudpickle.cloudpickle _make_function
GHSA-9m3x-qqw2-h32h | cloudpickle.cloudpickle _builtin_type
GHSA-9m3x-qqw2-h32h | cloudpickle.cloudpickle subimport
GHSA-m7j5-r2p5-c39r | logging FileHandler
GHSA-vvpj-8cmc-gx39 | pkgutil resolve_name
GHSA-g38g-8gr9-h9xp CVE-2026-56315 | uuid _get_command_stdout
GHSA-g38g-8gr9-h9xp CVE-2026-56315 | _osx_support _read_output
GHSA-g38g-8gr9-h9xp CVE-2026-56315 | _aix_support _read_cmd_output
GHSA-g38g-8gr9-h9xp CVE-2026-56315 | imaplib IMAP4_stream
GHSA-g38g-8gr9-h9xp CVE-2026-56315 | _pyrepl.pager pipe_pager
GHSA-g38g-8gr9-h9xp CVE-2026-56315 | test.support.script_helper assert_python_ok
picklescan ee38e74 | runpy _run_code
picklescan 15c0dbd | bdb Bdb.run
picklescan 15c0dbd | pdb run
picklescan 93764d6 | torch._inductor.codecache compile_file
picklescan 93764d6 | pydoc pipepager
picklescan 93764d6 | torch.serialization load
picklescan 62e76cf | venv create
picklescan issue 66 | importlib.util find_spec
picklescan issue 66 | importlib.util module_from_spec
picklescan pull request 74 | importlib import_module
picklescan pull request 74 | marshal loads
picklescan scanner tests | http.client HTTPSConnection
picklescan scanner tests | requests.api get
picklescan scanner tests | aiohttp.client ClientSession
picklescan scanner tests | socket create_connection
picklescan scanner tests | subprocess run
picklescan scanner tests | sys exit
picklescan scanner tests | webbrowser open
"""

FICKLING = """
GHSA-r7v6-mfhq-g3m2 | pty spawn
GHSA-565g-hwwr-4pp3 | marshal loads
GHSA-565g-hwwr-4pp3 | types FunctionType
GHSA-wfq2-52f7-7qvj | runpy run_path
GHSA-p523-jq9w-64x9 | cProfile run
GHSA-q5qq-mvfm-j35x | multiprocessing.util spawnv_passfds
GHSA-q5qq-mvfm-j35x | code InteractiveInterpreter
GHSA-q5qq-mvfm-j35x | importlib import_module
GHSA-5hvc-6wx8-mvv4 | pydoc locate
GHSA-5hvc-6wx8-mvv4 | ctypes CDLL
GHSA-h4rm-mm56-xf63 | builtins __import__
GHSA-mxhj-88fx-4pcv | smtplib SMTP
GHSA-5hwf-rc88-82xm | uuid _get_command_stdout
GHSA-5hwf-rc88-82xm | _aix_support _read_cmd_output
GHSA-5hwf-rc88-82xm | _osx_support _find_build_tool
GHSA-mhc9-48gj-9gp3 | socketserver TCPServer
GHSA-mhc9-48gj-9gp3 | xmlrpc.server SimpleXMLRPCServer
GHSA-mhc9-48gj-9gp3 | signal raise_signal
GHSA-mhc9-48gj-9gp3 | threading Thread
GHSA-mhc9-48gj-9gp3 | _thread start_new_thread
GHSA-mhc9-48gj-9gp3 | sqlite3 connect
GHSA-mhc9-48gj-9gp3 | fileinput input
GHSA-mhc9-48gj-9gp3 | glob glob
GHSA-mhc9-48gj-9gp3 | py_compile compile
GHSA-mhc9-48gj-9gp3 | compileall compile_file
GHSA-mhc9-48gj-9gp3 | mmap mmap
GHSA-mhc9-48gj-9gp3 | select select
GHSA-mhc9-48gj-9gp3 | logging.handlers SocketHandler
GHSA-mhc9-48gj-9gp3 | tarfile TarFile.open
GHSA-mhc9-48gj-9gp3 | zipfile ZipFile
GHSA-mhc9-48gj-9gp3 | shelve open
GHSA-5cxw-w2xg-2m8h | platform popen
GHSA-r48f-3986-4f9c | linecache getlines
GHSA-r48f-3986-4f9c | difflib HtmlDiff
GHSA-r48f-3986-4f9c | gc get_objects
GHSA-m6fh-58r7-x697 | _posixsubprocess fork_exec
GHSA-m6fh-58r7-x697 | site addsitedir
GHSA-m6fh-58r7-x697 | atexit register
GHSA-pc6j-px3p-rrj4 | unittest.main main
GHSA-pc6j-px3p-rrj4 | doctest testsource
GHSA-5j3x-jp52-966f | pathlib os.system
GHSA-cffv-grgg-g429 | ast parse
GHSA-6ggj-6f2q-f7mx | _interpreters create
GHSA-6ggj-6f2q-f7mx | _xxsubinterpreters run_string
fickling pull request 210 | shutil rmtree
fickling pull request 210 | venv EnvBuilder
fickling pull request 210 | builtins getattr
fickling issue 16 | socket socket
"""

OTHERS = """
modelscan issue 338 | torch.utils.collect_env run
modelscan issue 338 | multiprocessing.util spawnv_passfds
modelscan issue 338 | mlflow.projects.backend.local _run_entry_point
modelscan issue 338 | pandas.io.parsers.readers read_csv
modelscan pull request 346 | mailcap findmatch
modelscan issue 267 | _pickle loads
arXiv 2508.19774 | joblib.numpy_pickle load
arXiv 2508.19774 | numpy.lib.npyio load
arXiv 2508.19774 | torch.hub load
Sticky Pickle (Trail of Bits) | dill._dill _create_function
Sleepy Pickle (Trail of Bits) | builtins exec
Sour Pickles (Black Hat 2011) | __builtin__ globals
Sour Pickles (Black Hat 2011) | __builtin__ apply
fickling README | builtins breakpoint
keras CVE-2025-1550 | keras.src.models.model Model.from_config
weights-only loader | torch.jit load
weights-only loader | torch.ops.load_library load_library
weights-only loader | torch.storage _load_from_bytes
weights-only loader | torch.package PackageImporter
"""


def rows(table: str) -> Iterator[tuple[str, str, str]]:
    """Advisory, module and name of each line."""
    for line in table.strip().splitlines():
        advisory, target = line.split(" | ")
        module, name = target.split(" ")
        yield advisory, module, name


def cases() -> Iterator[Case]:
    """Each name called with an inert argument inside an otherwise honest archive."""
    for scanner, table in (("picklescan", PICKLESCAN), ("fickling", FICKLING), ("", OTHERS)):
        for advisory, module, name in rows(table):
            content = {"state_dict": state_dict(), "epoch": Call(Global(module, name), ("",))}
            label = f"{scanner or 'other'}-{module}-{name}-{advisory.split()[0]}"
            yield file_case(label.replace(".", "_"), KIND, torch_zip(content), UNSAFE, advisory)
