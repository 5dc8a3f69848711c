"""Names that checkpoints need and that no call can turn against their user."""

import _compat_pickle
import sys
import typing

from backaudit.files.records import ITEM_SIZES

# torch's name of the numbers in each of its storages.
STORAGE_TYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
}
TENSOR_TYPES = {
    name.replace("Storage", "Tensor"): dtype
    for name, dtype in STORAGE_TYPES.items()
    if dtype in ITEM_SIZES
}
DTYPES = frozenset(
    {*ITEM_SIZES, "float", "double", "half", "long", "int", "short", "cfloat", "cdouble"}
    | {"qint8", "quint8", "qint32", "quint4x2", "quint2x4", "chalf", "complex32"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)}
    | {"float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2"}
)
# Rebuilders whose result is no ordinary dense tensor, and what it is instead.
UNUSUAL_TENSORS = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_qtensor": "quantised",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_meta_tensor_no_storage": "without numbers (a meta tensor)",
    "_rebuild_wrapper_subclass": "of a special class",
    "_rebuild_xla_tensor": "of a special device",
}

_TENSOR = "rebuilds a tensor"
_STORAGE = "names the type of stored numbers"
_PLAIN = "makes a plain value"
_ARRAY = "rebuilds numbers of numpy"
_LIBRARY = "names a function of a library's layers"


def _listed(why: str, module: str, names: str) -> dict[tuple[str, str], str]:
    return {(module, name): why for name in names.split()}


_NUMPY_SCALARS = (
    "bool_ bool int8 int16 int32 int64 intc intp uint8 uint16 uint32 uint64 uintc uintp float16 "
    "float32 float64 complex64 complex128 str_ bytes_"
)
_NUMPY_DTYPES = (
    "BoolDType Int8DType Int16DType Int32DType Int64DType UInt8DType UInt16DType UInt32DType "
    "UInt64DType Float16DType Float32DType Float64DType Complex64DType Complex128DType "
    "ObjectDType StrDType BytesDType LongDType ULongDType LongLongDType ULongLongDType"
)
_BUILTINS = (
    "int float str bytes bytearray list dict set frozenset tuple complex bool object slice range"
)
# Of tensors alone; ``torch.nn.functional`` has others that reach further.
_FUNCTIONS = (
    "relu relu6 leaky_relu elu selu celu gelu silu mish softplus tanh sigmoid hardswish "
    "hardsigmoid hardtanh softmax log_softmax logsigmoid softsign tanhshrink prelu rrelu glu "
    "dropout dropout2d normalize pad interpolate avg_pool2d adaptive_avg_pool2d linear conv2d "
    "batch_norm layer_norm group_norm instance_norm one_hot cosine_similarity cross_entropy "
    "nll_loss mse_loss l1_loss smooth_l1_loss kl_div binary_cross_entropy "
    "binary_cross_entropy_with_logits"
)
_GENERATOR = "keeps the state of random numbers"
_PATHS = "PurePath PurePosixPath PureWindowsPath Path PosixPath WindowsPath"

HARMLESS = {
    **_listed(
        _TENSOR,
        "torch._utils",
        "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter "
        "_rebuild_parameter_with_state _rebuild_device_tensor_from_numpy "
        "_rebuild_device_tensor_from_cpu_tensor " + " ".join(UNUSUAL_TENSORS),
    ),
    **_listed(_TENSOR, "torch._tensor", "_rebuild_from_type _rebuild_from_type_v2"),
    **_listed(_TENSOR, "torch.tensor", "_rebuild_from_type"),
    **_listed(_TENSOR, "torch.nn.parameter", "Parameter Buffer"),
    **_listed(_TENSOR, "torch", "Tensor " + " ".join(TENSOR_TYPES)),
    **_listed(_TENSOR, "torch.cuda", " ".join(TENSOR_TYPES)),
    **_listed(_STORAGE, "torch", " ".join((*STORAGE_TYPES, *DTYPES, "QUInt4x2Storage"))),
    **_listed(_STORAGE, "torch.cuda", " ".join(STORAGE_TYPES)),
    **_listed(_STORAGE, "torch.storage", "UntypedStorage TypedStorage"),
    **_listed(
        _PLAIN,
        "torch",
        "Size device per_tensor_affine per_tensor_symmetric per_channel_affine "
        "per_channel_symmetric per_channel_affine_float_qparams",
    ),
    **_listed(_PLAIN, "torch.serialization", "_get_layout"),
    **_listed(_PLAIN, "torch._utils", "_rebuild_layout"),
    **_listed(
        _PLAIN,
        "torch.jit._pickle",
        "build_intlist build_tensorlist build_doublelist build_boollist restore_type_tag",
    ),
    **_listed(_PLAIN, "collections", "OrderedDict defaultdict Counter deque"),
    **_listed(_PLAIN, "copyreg", "_reconstructor"),
    **_listed(_PLAIN, "copy_reg", "_reconstructor"),
    **_listed(_PLAIN, "builtins", _BUILTINS),
    **_listed(_PLAIN, "__builtin__", f"{_BUILTINS} long unicode xrange"),
    **_listed(_PLAIN, "_codecs", "encode"),
    **_listed(_PLAIN, "argparse", "Namespace"),
    **_listed(_PLAIN, "types", "SimpleNamespace"),
    **_listed(_PLAIN, "pathlib", _PATHS),
    **_listed(_PLAIN, "pathlib._local", _PATHS),
    **_listed(_PLAIN, "datetime", "datetime date time timedelta timezone"),
    **_listed(_PLAIN, "decimal", "Decimal"),
    **_listed(_PLAIN, "fractions", "Fraction"),
    **_listed(_PLAIN, "uuid", "UUID"),
    **_listed("keeps a function and its arguments together", "functools", "partial"),
    **_listed(_ARRAY, "numpy", f"dtype ndarray {_NUMPY_SCALARS}"),
    **_listed(_ARRAY, "numpy.dtypes", _NUMPY_DTYPES),
    **_listed(_ARRAY, "numpy.core.multiarray", "_reconstruct scalar"),
    **_listed(_ARRAY, "numpy._core.multiarray", "_reconstruct scalar"),
    **_listed(_ARRAY, "numpy.core.numeric", "_frombuffer"),
    **_listed(_ARRAY, "numpy._core.numeric", "_frombuffer"),
    **_listed(
        _GENERATOR,
        "numpy.random._pickle",
        "__randomstate_ctor __bit_generator_ctor __generator_ctor",
    ),
    **_listed(_GENERATOR, "numpy.random.mtrand", "RandomState"),
    **_listed(_GENERATOR, "numpy.random._mt19937", "MT19937"),
    **_listed(_GENERATOR, "numpy.random._pcg64", "PCG64 PCG64DXSM"),
    **_listed(_GENERATOR, "numpy.random._philox", "Philox"),
    **_listed(_GENERATOR, "numpy.random._sfc64", "SFC64"),
    **_listed(_GENERATOR, "numpy.random.bit_generator", "SeedSequence __pyx_unpickle_SeedSequence"),
    **_listed(_GENERATOR, "random", "Random"),
    **_listed(_PLAIN, "typing", "Any Dict List Tuple"),
    **{
        name: "keeps the scale of half-precision training"
        for module in ("torch.amp.grad_scaler", "torch.cuda.amp.grad_scaler")
        for name in _listed("", module, "GradScaler OptState _refresh_per_optimizer_state")
    },
    **_listed(_LIBRARY, "torch.nn.functional", _FUNCTIONS),
    **_listed(_LIBRARY, "torch._C._nn", "gelu silu mish hardswish elu leaky_relu softplus"),
    **_listed(_LIBRARY, "torch.nn.backends.thnn", "_get_thnn_function_backend"),
    **_listed(_LIBRARY, "torch.nn.utils.weight_norm", "WeightNorm"),
    **_listed(
        _LIBRARY,
        "torch.nn.utils.spectral_norm",
        "SpectralNorm SpectralNormStateDictHook SpectralNormLoadStateDictPreHook",
    ),
    **_listed(_LIBRARY, "torch.nn.utils.parametrizations", "_SpectralNorm _WeightNorm _Orthogonal"),
    **_listed(_LIBRARY, "torch.nn.utils.parametrize", "ParametrizationList"),
    **_listed(_LIBRARY, "torch.nn.parallel.data_parallel", "DataParallel"),
    **_listed(_LIBRARY, "torch.nn.parallel.distributed", "DistributedDataParallel"),
}

# Where the layers of well-known libraries are defined: a package and modules below it. Classes
# there are called CamelCase; a name with an underscore in front is no public module.
LAYER_PACKAGES = (
    "torch.nn",
    "torch.nn.modules",
    "torch.ao.nn",
    "torch.optim",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
    "timm.models",
    "timm.layers",
    "timm.optim",
    "timm.scheduler",
)
LAYER_MODULES = frozenset(
    {
        "timm.models._efficientnet_blocks",
        "timm.models._features",
        "torchvision.models._utils",
        "torch.ao.quantization.stubs",
        "torch.utils.data.dataset",
        "torch.utils.data.sampler",
        "torch.utils.data.dataloader",
    }
)
NOT_LAYERS = ("torch.nn.attention", "torch.nn.utils", "torch.nn.parallel", "torch.nn.qat")
# Names that library modules import for their own use and that stand there beside their classes.
IMPORTED_THERE = frozenset({*typing.__all__, "ABC", "Enum", "ModuleType", "Path", "F", "PIL"}) | {
    "Image", "ImageOps", "ImageEnhance", "ImageFilter", "ImageChops", "TemporaryDirectory",
    "HfApi", "Popen",
}  # fmt: skip

# Python's own modules that are or were, on any platform and under any version; a pickle of
# Python 2 that names one of the first is given its successor.
RENAMED_MODULES = frozenset(name.partition(".")[0] for name in _compat_pickle.IMPORT_MAPPING)
STANDARD_MODULES = sys.stdlib_module_names | RENAMED_MODULES | {
    "aifc", "asynchat", "asyncore", "audioop", "bdb", "cgi", "cgitb", "chunk", "crypt",
    "distutils", "exceptions", "idlelib", "ihooks", "imghdr", "imp", "lib2to3", "mailcap",
    "msilib", "msvcrt", "new", "nis", "nntplib", "nt", "ntpath", "os2", "ossaudiodev", "pipes",
    "popen2", "posix", "posixfile", "pwd", "rexec", "sets", "sitecustomize", "smtpd", "sndhdr",
    "spwd", "statvfs", "sunau", "telnetlib", "user", "usercustomize", "uu", "winreg", "xdrlib",
}  # fmt: skip
# Packages that exist to run, fetch or unpickle things, and the libraries whose honest names are
# listed above: nothing else of them belongs into a checkpoint.
CAPABLE_PACKAGES = frozenset(
    {
        "IPython", "aiohttp", "cffi", "cloudpickle", "dill", "docker", "execnet", "fabric",
        "gradio", "httpx", "invoke", "ipykernel", "joblib", "jsonpickle", "llvmlite", "mlflow",
        "numba", "numexpr", "numpy", "paramiko", "pexpect", "pip", "pkg_resources", "plumbum",
        "psutil", "ptyprocess", "py", "pytest", "ray", "requests", "scrapy", "setuptools", "sh",
        "timm", "torch", "torchaudio", "torchtext", "torchvision", "tornado", "triton", "twisted",
        "urllib3", "virtualenv", "wheel", "win32api", "win32com", "yaml",
    }
)  # fmt: skip
# Libraries large enough to have functions for anything; their classes may be honest values.
LARGE_PACKAGES = frozenset(
    {
        "PIL", "accelerate", "cv2", "fastai", "fsspec", "huggingface_hub", "jax", "jaxlib", "keras",
        "lightning", "matplotlib", "onnx", "onnxruntime", "pandas", "pytorch_lightning", "scipy",
        "six", "sklearn", "sympy", "tensorflow", "transformers",
    }
)  # fmt: skip
# What the most telling names would do, in words; being in no table makes a name no less dangerous.
EFFECTS = {
    "os": "can run commands and change files",
    "posix": "can run commands and change files",
    "nt": "can run commands and change files",
    "commands": "runs shell commands",
    "popen2": "runs shell commands",
    "pty": "runs commands",
    "subprocess": "runs commands",
    "_posixsubprocess": "runs commands",
    "runpy": "runs Python files",
    "importlib": "imports modules by name",
    "imp": "imports modules by name",
    "pkgutil": "imports modules by name",
    "operator": "reaches any attribute or function",
    "functools": "calls functions it is given",
    "pickle": "reads a pickle inside the pickle",
    "_pickle": "reads a pickle inside the pickle",
    "cPickle": "reads a pickle inside the pickle",
    "dill": "reads a pickle inside the pickle",
    "cloudpickle": "reads a pickle inside the pickle",
    "joblib": "reads a pickle inside the pickle",
    "shelve": "reads a pickle inside the pickle",
    "marshal": "makes code from bytes",
    "code": "evaluates code",
    "codeop": "evaluates code",
    "timeit": "evaluates code",
    "bdb": "evaluates code",
    "pdb": "evaluates code",
    "profile": "evaluates code",
    "cProfile": "evaluates code",
    "trace": "evaluates code",
    "doctest": "evaluates code",
    "ctypes": "calls into machine code",
    "socket": "opens network connections",
    "ssl": "opens network connections",
    "http": "opens network connections",
    "urllib": "opens network connections",
    "urllib2": "opens network connections",
    "requests": "opens network connections",
    "smtplib": "opens network connections",
    "ftplib": "opens network connections",
    "shutil": "changes files",
    "tempfile": "writes files",
    "pathlib": "reads or writes files",
    "io": "reads or writes files",
    "_io": "reads or writes files",
    "webbrowser": "opens a web browser",
    "pip": "installs packages",
}
BUILTIN_EFFECTS = {
    **dict.fromkeys(("eval", "exec", "execfile", "compile"), "evaluates code"),
    **dict.fromkeys(("__import__", "reload"), "imports modules by name"),
    **dict.fromkeys(("getattr", "setattr", "delattr", "vars", "globals"), "reaches any attribute"),
    **dict.fromkeys(("open", "file"), "reads or writes files"),
    **dict.fromkeys(("apply", "map", "filter"), "calls functions it is given"),
    **dict.fromkeys(("input", "raw_input", "breakpoint"), "waits for somebody to type code"),
}
LOADERS = frozenset(
    {
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("numpy", "load"),
        ("pandas", "read_pickle"),
    }
)
