"""The cases of the specification of cells, as data: number, cells, and what the last cell prints.

`shown` is None where the case has its own assertions or its output depends on the machine.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One notebook and what its last cell prints when it is run from top to bottom."""

    name: str
    cells: tuple[str, ...]
    shown: str
    edges: tuple[tuple[int, int, str], ...] = ()  # step 2 must receive the x that step 1 left: (1, 2, "x")


def _case(name: str, *cells: str, shown: str, edges: str = "") -> Case:
    found = []
    for part in edges.split():
        source, target, variable = part.split("-")
        found.append((int(source), int(target), variable))
    return Case(name, cells, shown, tuple(found))


FRAME = "import pandas as pd\ndf = pd.DataFrame({'a': [1.0, None, 3.0]})"

CASES = [
    _case("1 item set", "d={}", "d['x']=5", "print(d)", shown="{'x': 5}\n", edges="1-2-d 2-3-d"),
    _case("2 inplace", FRAME, "df.dropna(inplace=True)", "print(len(df))", shown="2\n", edges="1-2-df 2-3-df"),
    _case("2 twin", FRAME, "df.dropna()", "print(len(df))", shown="3\n", edges="1-2-df 1-3-df"),
    _case("3 append", "l=[]", "l.append(1)", "print(l)", shown="[1]\n", edges="1-2-l 2-3-l"),
    _case(
        "4 function changes its argument", "def add(d): d['n']=1", "data={}", "add(data)", "print(data)",
        shown="{'n': 1}\n", edges="1-3-add 2-3-data 3-4-data",
    ),
    _case(
        "5 closure over a global", "log=[]\ndef f(z):\n    log.append(z)\n    return z", "[f(q) for q in range(3)]", "print(log)",
        shown="[0, 1, 2]\n", edges="2-3-log",
    ),
    _case("6 alias", "a=[]\nb=a", "b.append(1)", "print(a)", shown="[1]\n", edges="2-3-a"),
    _case("7 alias of a frame", FRAME, "df2=df", "df2['x']=1", "print(list(df.columns))", shown="['a', 'x']\n", edges="3-4-df"),
    _case("8 view", "import numpy as np\narr=np.zeros(4)", "v=arr[:2]", "v[0]=9", "print(arr)", shown="[9. 0. 0. 0.]\n", edges="3-4-arr"),
    _case(
        "9 optimizer", "class P:\n    def __init__(self): self.v=1\nclass Opt:\n    def __init__(self, p): self.p=p\n"
        "    def step(self): self.p.v += 1", "p=P(); opt=Opt(p)", "opt.step()", "print(p.v)", shown="2\n", edges="3-4-p",
    ),
    _case("10 same list", "x=y=[]", "x+=[1]", "print(y)", shown="[1]\n", edges="2-3-y"),
    _case("10 same number", "x=y=0", "x+=1", "print(y)", shown="0\n", edges="1-3-y"),
    _case("11 augmented", "t=0", "t+=5", "print(t)", shown="5\n", edges="1-2-t 2-3-t"),
    _case("12 name used again", "x=1", "y=x+1", "x=100", "z=x+y\nprint(z)", shown="102\n", edges="1-2-x 3-4-x 2-4-y"),
    _case("13 may define", "cfg=0; flag=False", "if flag: cfg=1", "print(cfg)", shown="0\n", edges="1-2-flag 1-2-cfg 2-3-cfg"),
    _case("14 loop may not run", "last=None; rows=[]", "for r in rows: last=r", "print(last)", shown="None\n", edges="1-2-last 2-3-last"),
    _case(
        "14 try", "v=1; s='x'", "try: v=int(s)\nexcept ValueError: pass", "print(v)", shown="1\n", edges="1-2-v 2-3-v",
    ),
    _case("15 late global", "def f(): return k*2", "k=1; r1=f()", "k=10", "r2=f()\nprint(r2)", shown="20\n", edges="1-2-f 1-4-f 3-4-k"),
    _case("16 default", "n=3", "def f(k=n): return k", "n=50", "print(f())", shown="3\n", edges="1-2-n 2-4-f"),
    _case(
        "17 property over a global", "cfg={'a':1}\nclass V:\n    @property\n    def a(self): return cfg['a']\nv=V()",
        "cfg={'a':2}", "print(v.a)", shown="2\n", edges="1-3-v 2-3-cfg",
    ),
    _case("18 method over a global", "class M:\n    def run(self): return S*2", "S=3; m=M()", "print(m.run())", shown="6\n", edges="2-3-m 2-3-S"),
    _case("19 lambda", "w=2", "g=lambda v: v*w", "print(g(3))", shown="6\n", edges="1-3-w 2-3-g"),
    _case("20 helper later", "def outer(): return helper()", "def helper(): return 7", "print(outer())", shown="7\n", edges="1-3-outer 2-3-helper"),
    _case(
        "20 mutual recursion", "def even(n): return n == 0 or odd(n-1)", "def odd(n): return n != 0 and even(n-1)", "print(even(10))",
        shown="True\n",
    ),
    _case("21 comprehension", "i=99", "sq=[i*i for i in range(3)]", "print(i, sq)", shown="99 [0, 1, 4]\n", edges="1-3-i 2-3-sq"),
    _case("22 loop variable", "for i in range(3): pass", "print(i)", shown="2\n", edges="1-2-i"),
    _case("23 walrus", "rows=[1, 2]", "[last := r for r in rows]", "print(last)", shown="2\n", edges="2-3-last"),
    _case("24 global statement", "def setup():\n    global conn\n    conn='c'", "setup()", "print(conn)", shown="c\n", edges="1-2-setup 2-3-conn"),
    _case("25 star import", "from math import *", "y=sqrt(4)\nprint(y)", shown="2.0\n"),
    _case("26 deletion", "tmp=1; keep=2", "del tmp", "print(keep, 'tmp' in globals())", shown="2 False\n", edges="1-2-tmp 1-3-keep"),
    _case("26 except", "e=1", "try: 1/0\nexcept ZeroDivisionError as e: pass", "print('e' in globals())", shown="False\n"),
    _case("27 shell output", "files = !echo a b", "print(len(files), files[0])", shown="1 a b\n", edges="1-2-files"),
    _case("28 time", "x=1", "%time y=x+1", "print(y)", shown="2\n", edges="1-2-x 2-3-y"),
    _case("28 capture", "%%capture out\nv=3\nprint('hid')", "print(repr(out.stdout), v)", shown="'hid\\n' 3\n", edges="1-2-v 1-2-out"),
    _case("29 shell input", "name='nbflow-case-29'", "!echo hello > /tmp/{name}", "print(open('/tmp/' + name).read())", shown="hello\n\n", edges="1-2-name 1-3-name"),
    _case("30 query", "thr=2\n" + FRAME, "thr=2.5", "print(len(df.query('a > @thr')))", shown="1\n", edges="2-3-thr"),
    _case("31 sql over frames", "tbl={'a': 1}", "tbl={**tbl, 'b': 2}", "print(eval('tbl'))", shown="{'a': 1, 'b': 2}\n", edges="2-3-tbl"),
    _case("32 generator", "g=(q for q in range(4))", "next(g)", "print(list(g))", shown="[1, 2, 3]\n"),
    _case("32 iterator", "g=iter([1, 2, 3])", "next(g)", "print(list(g))", shown="[2, 3]\n", edges="1-2-g 2-3-g"),
    _case(
        "33 pyplot", "import matplotlib.pyplot as plt\nplt.plot([1, 2])", "plt.title('sales')",
        "print(len(plt.gca().lines), repr(plt.gca().get_title()))", shown="0 ''\n",  # each cell's figure ends with it
    ),
    _case(
        "34 figure", "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()", "ax.plot([1, 2])", "print(len(fig.axes[0].lines))",
        shown="1\n", edges="2-3-fig",
    ),
    _case("35 random", "import numpy as np\nnp.random.seed(0)", "a=np.random.rand()", "print(a, np.random.rand())", shown="0.5488135039273248 0.7151893663724195\n"),
    _case("36 environment", "import os\nos.environ['NBX']='1'", "print(os.environ['NBX'])", shown="1\n"),
    _case("36 option", "import pandas as pd\npd.set_option('display.max_rows', 7)", "print(pd.get_option('display.max_rows'))", shown="7\n"),
    _case("36 path", "import sys\nsys.path.append('/nbflow-case')", "print(sys.path[-1])", shown="/nbflow-case\n"),
    _case("36 patched module", "import math\nmath.k=3", "print(math.k)", shown="3\n"),
    _case(
        "37 file", FRAME + "\ndf.to_csv('/tmp/nbflow-case-37.csv')", "print(len(pd.read_csv('/tmp/nbflow-case-37.csv')))", shown="3\n",
    ),
    _case("38 globals", "globals()['zz']=1", "print(zz)", shown="1\n"),
    _case("38 exec", "exec('zz = 4')", "print(zz)", shown="4\n"),
    _case("39 last result", "1+1", "print(_+1)", shown="3\n"),
    _case("39 Out", "1+1", "5", "print(Out[1] + Out[2])", shown="7\n"),
    _case("40 only if not there", "if 'big' not in globals(): big=5", "print(big)", shown="5\n", edges="1-2-big"),
    _case(
        "41 connection", "import sqlite3\ncon=sqlite3.connect(':memory:')", "con.execute('create table t (a)')\ncon.execute('insert into t values (3)')",
        "print(con.execute('select * from t').fetchall())", shown="[(3,)]\n",
    ),
    _case("41 lock", "import threading\nlock=threading.Lock()", "n=1\nwith lock: n+=1", "print(n, lock.locked())", shown="2 False\n"),
    # Not of the specification: guesses of the plan that are wrong, and are caught when the steps run.
    _case(
        "a method that changes its object under a harmless name",
        "class C:\n    n = 0\n    def count(self): self.n += 1", "c=C()", "c.count()", "print(c.n)", shown="1\n",
    ),
    _case("a default that is changed", "kept=[]", "def push(x, into=kept): into.append(x)", "push(1)", "print(kept)", shown="[1]\n"),
    _case("42 run once", "t=0", "t+=5", "print(t)", shown="5\n"),
]  # fmt: skip
